"""What a measure is: a spec that turns a network and images into rows."""

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from jaxtyping import Float, Int64

from equistudy.groups.group import Group
from equistudy.spec import Spec, Tensor, compute_digest, to_canonical_json

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

__all__ = ["Measure", "Measurement", "MeasuringResult", "Skipped", "Subject"]


class Subject(NamedTuple):
    """What is measured: a network in eval mode and the images to measure it with.

    `images` are in [0, 1]; `mean` and `std` normalise them per channel just before the network. `background` continues
    the images beyond their border, where it is known. `untrained` is the same network before its first step. Where the
    network takes less than a whole image, `window` is the side of the central square that it takes of each view.
    `invariant` says of a group whether an audit finds that the network ignores it exactly; None where none was made.
    `train` loads this many training images in [0, 1], evenly spaced in their order, and their classes, for measures of
    the training loss; None where `images` stand for them.
    """

    network: Module
    stages: Mapping[str, str]
    images: Float[Tensor, "N C H W"]
    targets: Int64[Tensor, " N"] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    background: float | None
    untrained: Module | None
    seed: int
    window: int | None = None

    @property
    def output(self) -> str:
        """What rows call the network's own output: as its last stage."""
        return list(self.stages)[-1] if self.stages else "output"

    invariant: Callable[[Group], bool] | None = None
    train: Callable[[int], tuple[Float[Tensor, "M C h w"], Int64[Tensor, " M"] | None]] | None = None


@dataclass(frozen=True)
class Measurement:
    """One value: a row of the `measurements` table. What was not measured is None, never a default value.

    `depth` is the stage's relative depth in [0, 1]. `stride` is the stage's cell size in input pixels (None for
    vectors). `group`, `element` and `magnitude`, the size of the element in its group's unit, are None for a measure
    without a group. `low` and `high` bound the 95 % interval over images. `floor` is the same value for shuffled pairs
    of images, `no_motion` for features compared unmoved, `untrained` for the network before training. `cells` counts
    the positions compared in each map. `raw` is the same value in its own units where `value` is relative.
    `ceiling` is the best value that interpolation allows; None where cells map to cells.
    """

    measure: str
    measure_id: str
    revision: int
    stage: str
    depth: float
    stride: int | None
    group: str | None
    element: str | None
    magnitude: float | None
    grid_aligned: bool | None
    value: float
    low: float | None
    high: float | None
    images: int
    floor: float | None = None
    no_motion: float | None = None
    untrained: float | None = None
    cells: int | None = None
    channels: int | None = None
    dead_channels: int | None = None
    note: str | None = None
    raw: float | None = None
    ceiling: float | None = None


class Skipped(NamedTuple):
    """A row that is missing, and why. `element` is None if the reason holds for every element of the stage."""

    measure: str
    stage: str
    element: str | None
    reason: str

    def __str__(self) -> str:
        where = self.stage if self.element is None else f"{self.stage} at {self.element}"
        return f"{self.measure} of {where}: {self.reason}"


SUMMARY_COLUMNS = ("measure", "stage", "cells moved", "elements", "value", "floor")


class MeasuringResult(NamedTuple):
    """The result of measuring one network: the rows, and what could not be measured.

    Printed, or shown in a notebook, it has one line per measure and stage, averaged over the group elements, apart for
    those that move whole cells of the map and those that do not. `rows` has each element, of which
    `polars.DataFrame(result.rows)` or `pandas.DataFrame(result.rows)` makes a table.
    """

    rows: list[Measurement]
    skipped: list[Skipped]

    def summarise(self) -> list[tuple[str, ...]]:
        """A line of SUMMARY_COLUMNS for each measure, stage and alignment: mean value and mean floor over elements."""
        groups: dict[tuple[str, str, bool | None], list[Measurement]] = {}
        for row in self.rows:
            groups.setdefault((row.measure, row.stage, row.grid_aligned), []).append(row)
        lines: list[tuple[str, ...]] = []
        for (measure, stage, aligned), rows in groups.items():
            floors = [row.floor for row in rows if row.floor is not None]
            floor = f"{fmean(floors):.3f}" if floors else ""
            cells = "" if aligned is None else "whole" if aligned else "parts"
            lines.append((measure, stage, cells, str(len(rows)), f"{fmean(row.value for row in rows):.3f}", floor))
        return lines

    def describe_skipped(self) -> list[str]:
        """One sentence per reason: how many stages it holds for, and the first of them."""
        reasons: dict[tuple[str, str], list[str]] = {}
        for each in self.skipped:
            reasons.setdefault((each.measure, each.reason), []).append(each.stage)
        return [
            f"{measure} of {stages[0]}{f' and {len(set(stages)) - 1} more' if len(set(stages)) > 1 else ''}: {reason}"
            for (measure, reason), stages in reasons.items()
        ]

    def __str__(self) -> str:
        table = [SUMMARY_COLUMNS, *self.summarise()]
        widths = [max(len(line[place]) for line in table) for place in range(len(SUMMARY_COLUMNS))]
        lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) for line in table]
        absent = [f"Not measured: {text}" for text in self.describe_skipped()]
        return "\n".join([*(line.rstrip() for line in lines), *absent])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in SUMMARY_COLUMNS)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in self.summarise()
        )
        absent = "".join(f"<li>{html.escape(text)}</li>" for text in self.describe_skipped())
        return f"<table><tr>{head}</tr>{body}</table>" + (f"<p>Not measured:</p><ul>{absent}</ul>" if absent else "")


@dataclass(frozen=True)
class Measure(Spec):
    """Base of the measures. `name` says which way is better: `..._correlation` 1 is perfect, `..._error` 0 is.

    `share` marks values that are proportions of images, whose differences are reported in percentage points.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    share: ClassVar[bool] = False

    @property
    def id(self) -> str:
        """Digest of the spec and its revision: rows with equal ids are comparable."""
        return compute_digest(to_canonical_json(self), "m")

    def measure(self, subject: Subject) -> MeasuringResult:
        """All rows of this measure for one network. `measure_all` lets measures that can share a pass do so."""
        raise NotImplementedError

    def floor_caveat(self, floor: float) -> str | None:
        """A caveat if unrelated images come too close to the best value, else None."""
        return None
