"""From finished moments to rows: values, intervals, and the references beside them."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from equistudy.measuring.caveats import add_caveats
from equistudy.measuring.comparison import Comparison, ComparisonPlan
from equistudy.measuring.families import MomentStatistic
from equistudy.measuring.intervals import MIN_IMAGES, jackknife_interval
from equistudy.measuring.measure import Measure, Measurement, MeasuringResult, Skipped, Subject
from equistudy.measuring.moments import Moments

__all__ = ["DEAD_VARIANCE_RATIO", "build_moment_rows", "build_row", "compute_layer_values", "find_live_channels"]

DEAD_VARIANCE_RATIO = 1e-10  # a channel's variance over the layer's, up to which it counts as constant


def find_live_channels(measure: MomentStatistic, moments: Moments) -> Bool[Tensor, "*shape C"]:
    """Which channels vary in what the measure looks at: on both sides more than a trace of the layer's variance."""
    totals = moments.within_aa + moments.between_aa, moments.within_bb + moments.between_bb
    trace = DEAD_VARIANCE_RATIO * torch.stack(totals).mean(dim=(0, -1), keepdim=True).squeeze(0)
    spread_a, spread_b = measure.sums_of_squares(moments)
    return (spread_a > trace) & (spread_b > trace)


def compute_layer_values(
    measure: MomentStatistic, moments: Moments, live: Bool[Tensor, "*shape C"]
) -> Float[Tensor, "*shape"]:
    """The value of a stage from its live channels; not a number where there is none."""
    return measure.combine_channels(moments, live).clamp(*measure.limits)


class RowColumns(NamedTuple):
    """The values of every element of a stage, None where there is none."""

    value: list[float]
    low: list[float | None]
    high: list[float | None]
    floor: list[float | None]
    no_motion: list[float | None]
    untrained: list[float | None]
    ceiling: list[float | None]
    dead_channels: list[int]
    finite: list[bool]


def build_moment_rows(
    measure: MomentStatistic, stage: str, comparison: Comparison, untrained: Comparison | None, subject: Subject
) -> MeasuringResult:
    """The rows of one measure at one stage, one for each element."""
    plan, channels = comparison.plan, comparison.plan.geometry.channels
    columns = _compute_columns(measure, comparison, untrained, len(subject.images))
    result = MeasuringResult([], [])
    for index, element in enumerate(plan.elements):
        dead = columns.dead_channels[index]
        if not columns.finite[index] or dead == channels:
            reason = f"all {channels} channels are constant" if columns.finite[index] else "its features are not finite"
            result.skipped.append(Skipped(measure.name, stage, element.label, reason))
            continue
        row = build_row(
            measure,
            stage,
            subject,
            plan,
            index,
            value=columns.value[index],
            low=columns.low[index],
            high=columns.high[index],
            floor=columns.floor[index],
            no_motion=columns.no_motion[index],
            untrained=columns.untrained[index],
            ceiling=columns.ceiling[index],
            cells=plan.cells[index],
            channels=channels,
            dead_channels=dead,
        )
        result.rows.append(add_caveats(row, measure))
    return result


def build_row(
    measure: Measure, stage: str, subject: Subject, plan: ComparisonPlan, index: int | None, **values: Any
) -> Measurement:
    """A row of a stage at an element of the plan, or at all of them together, with these values."""
    names, grid = list(subject.stages), plan.geometry.grid
    element = None if index is None else plan.elements[index]
    return Measurement(
        measure=measure.name,
        measure_id=measure.id,
        revision=measure.REVISION,
        stage=stage,
        depth=names.index(stage) / max(1, len(names) - 1) if stage in names else 1.0,
        stride=None if grid is None else grid.stride,
        group=str(plan.group),
        element=None if element is None else element.label,
        magnitude=None if element is None else element.magnitude,
        grid_aligned=None if grid is None or element is None else plan.group.is_grid_aligned(element, grid),
        images=len(subject.images),
        **values,
    )


def _compute_columns(
    measure: MomentStatistic, comparison: Comparison, untrained: Comparison | None, images: int
) -> RowColumns:
    total, without = comparison.totals
    live = find_live_channels(measure, total)
    values = compute_layer_values(measure, total, live)
    low = high = None
    if images >= MIN_IMAGES:
        left_out = compute_layer_values(measure, without, find_live_channels(measure, without))
        low, high = (bound.clamp(*measure.limits) for bound in jackknife_interval(values, left_out, measure.scale))
    shuffled = comparison.shuffled
    return RowColumns(
        value=values.tolist(),
        low=_to_optional_numbers(low, values),
        high=_to_optional_numbers(high, values),
        floor=_to_optional_numbers(None if shuffled is None else compute_layer_values(measure, shuffled, live), values),
        no_motion=_to_optional_numbers(_compute_own_value(measure, comparison.unmoved), values),
        untrained=_to_optional_numbers(
            _compute_own_value(measure, None if untrained is None else untrained.totals[0]), values
        ),
        ceiling=_compute_ceiling_values(measure, comparison),
        dead_channels=(~live).sum(dim=-1).tolist(),
        finite=(total.mean_a + total.mean_b).isfinite().all(dim=-1).tolist(),
    )


def _compute_ceiling_values(measure: MomentStatistic, comparison: Comparison) -> list[float | None]:
    """The value of a perfect layer at each element, None where it moves cells to cells."""
    plan, grid = comparison.plan, comparison.plan.geometry.grid
    if comparison.ceiling is None or grid is None or measure.unit:
        return [None] * len(plan.elements)
    values = _compute_own_value(measure, comparison.ceiling)
    assert values is not None
    found = zip(plan.elements, _to_optional_numbers(values, values), strict=True)
    return [None if plan.group.is_grid_aligned(element, grid) else value for element, value in found]


def _compute_own_value(measure: MomentStatistic, moments: Moments | None) -> Float[Tensor, " K"] | None:
    """The value of moments of other features, over the channels that live there."""
    return None if moments is None else compute_layer_values(measure, moments, find_live_channels(measure, moments))


def _to_optional_numbers(values: Float[Tensor, " K"] | None, like: Float[Tensor, " K"]) -> list[float | None]:
    """A number for each element, None where it is undefined."""
    if values is None:
        return [None] * len(like)
    return [None if math.isnan(value) else value for value in values.tolist()]
