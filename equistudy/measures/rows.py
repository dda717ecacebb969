"""From finished moments to rows: values, intervals, and the references beside them."""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from equistudy.measures.comparison import Comparison
from equistudy.measures.correlation import MomentMeasure
from equistudy.measures.intervals import MIN_IMAGES, jackknife
from equistudy.measures.measure import Measurement, MeasuringResult, Skipped, Subject
from equistudy.measures.moments import Moments

__all__ = ["layer_values", "live_channels", "rows_of"]

DEAD = 1e-10  # a channel's variance over the layer's, up to which it counts as constant
HIGH_FLOOR = 0.2
MANY_DEAD = 0.1


def live_channels(measure: MomentMeasure, moments: Moments) -> Bool[Tensor, "*shape C"]:
    """Which channels vary in what the measure looks at: on both sides more than a trace of the layer's variance."""
    totals = moments.within_aa + moments.between_aa, moments.within_bb + moments.between_bb
    trace = DEAD * torch.stack(totals).mean(dim=(0, -1), keepdim=True).squeeze(0)
    spread_a, spread_b = measure.spreads(moments)
    return (spread_a > trace) & (spread_b > trace)


def layer_values(measure: MomentMeasure, moments: Moments, live: Bool[Tensor, "*shape C"]) -> Float[Tensor, "*shape"]:
    """The mean over the live channels; not a number where there is none."""
    values = measure.coefficient(moments)
    return torch.where(live, values, torch.nan).nanmean(dim=-1).clamp(-1, 1)


class Columns(NamedTuple):
    """The values of every element of a stage, None where there is none."""

    value: list[float]
    low: list[float | None]
    high: list[float | None]
    floor: list[float | None]
    no_motion: list[float | None]
    untrained: list[float | None]
    dead_channels: list[int]
    finite: list[bool]


def rows_of(
    measure: MomentMeasure, stage: str, comparison: Comparison, untrained: Comparison | None, subject: Subject
) -> MeasuringResult:
    """The rows of one measure at one stage, one for each element."""
    plan, images, names = comparison.plan, len(subject.images), list(subject.stages)
    grid, channels, cells = plan.geometry.grid, plan.geometry.channels, plan.cells
    columns = _columns(measure, comparison, untrained, images)
    result = MeasuringResult([], [])
    for index, element in enumerate(plan.elements):
        dead = columns.dead_channels[index]
        if not columns.finite[index] or dead == channels:
            reason = f"all {channels} channels are constant" if columns.finite[index] else "its features are not finite"
            result.skipped.append(Skipped(measure.name, stage, element.label, reason))
            continue
        row = Measurement(
            measure=measure.name,
            measure_id=measure.id,
            revision=measure.REVISION,
            stage=stage,
            depth=names.index(stage) / max(1, len(names) - 1),
            stride=None if grid is None else grid.stride,
            group=str(plan.group),
            element=element.label,
            magnitude=element.magnitude,
            grid_aligned=None if grid is None else plan.group.grid_aligned(element, grid),
            value=columns.value[index],
            low=columns.low[index],
            high=columns.high[index],
            images=images,
            floor=columns.floor[index],
            no_motion=columns.no_motion[index],
            untrained=columns.untrained[index],
            cells=cells[index],
            channels=channels,
            dead_channels=dead,
        )
        result.rows.append(replace(row, note=_note(row)))
    return result


def _columns(measure: MomentMeasure, comparison: Comparison, untrained: Comparison | None, images: int) -> Columns:
    total, without = comparison.totals
    live = live_channels(measure, total)
    values = layer_values(measure, total, live)
    low = high = None
    if images >= MIN_IMAGES:
        low, high = jackknife(values, layer_values(measure, without, live.expand_as(without.pairs)))
    shuffled = comparison.shuffled
    return Columns(
        value=values.tolist(),
        low=_numbers(low, values),
        high=_numbers(high, values),
        floor=_numbers(None if shuffled is None else layer_values(measure, shuffled, live), values),
        no_motion=_numbers(_own_value(measure, comparison.unmoved), values),
        untrained=_numbers(_own_value(measure, None if untrained is None else untrained.totals[0]), values),
        dead_channels=(~live).sum(dim=-1).tolist(),
        finite=(total.mean_a + total.mean_b).isfinite().all(dim=-1).tolist(),
    )


def _own_value(measure: MomentMeasure, moments: Moments | None) -> Float[Tensor, " K"] | None:
    """The value of moments of other features, over the channels that live there."""
    return None if moments is None else layer_values(measure, moments, live_channels(measure, moments))


def _numbers(values: Float[Tensor, " K"] | None, like: Float[Tensor, " K"]) -> list[float | None]:
    """A number for each element, None where it is undefined."""
    if values is None:
        return [None] * len(like)
    return [None if math.isnan(value) else value for value in values.tolist()]


def _note(row: Measurement) -> str | None:
    """What a reader of the row must know."""
    notes = []
    if row.low is None:
        notes.append(f"no interval: {row.images} images, and it takes {MIN_IMAGES}")
    if row.floor is not None and row.floor > HIGH_FLOOR:
        notes.append(f"unrelated images already reach {row.floor:.2f}")
    if row.dead_channels and row.channels and row.dead_channels > MANY_DEAD * row.channels:
        notes.append(f"{row.dead_channels} of {row.channels} channels are constant and left out")
    return "; ".join(notes) or None
