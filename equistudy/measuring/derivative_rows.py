"""The rows of the Lie derivatives: values of each stage with their intervals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.groups.affine_group import AffineGroup
from equistudy.groups.group import Element, Grid, Region
from equistudy.measuring.caveats import add_caveats
from equistudy.measuring.comparison import MIN_CELLS, Comparison, ComparisonPlan, ShardMoments
from equistudy.measuring.derivatives import (
    OUTPUT,
    DifferentiableNetwork,
    LocatedStage,
    StageDerivatives,
    compute_contributions,
    differentiable_evaluation,
)
from equistudy.measuring.engine import SHARD_SIZE, split_into_shards
from equistudy.measuring.families import FlowMeasure, Scale
from equistudy.measuring.flow import Flow
from equistudy.measuring.geometry import Geometry, probe_geometries
from equistudy.measuring.intervals import MIN_IMAGES, count_jackknife_groups, jackknife_interval
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject
from equistudy.measuring.moments import Moments, paired_moments, pool_moments, single_pair_moments
from equistudy.measuring.rows import DEAD_VARIANCE_RATIO, build_row
from equistudy.measuring.stages import (
    CALIBRATION_IMAGES,
    calibrate_batch_norms,
    evaluation_mode,
    find_hook_points,
    prepare_images,
)

__all__ = ["build_contribution_rows", "build_derivative_rows"]


def build_derivative_rows(measure: FlowMeasure, subject: Subject) -> MeasuringResult:
    """The rows of every stage."""

    def taken(
        network: DifferentiableNetwork, images: Tensor, plans: dict[str, ComparisonPlan]
    ) -> dict[str, ShardMoments]:
        each = network.differentiate_stages(images, measure.flows())
        return {name: _compute_shard_moments([found[name] for found in each], plan) for name, plan in plans.items()}

    return _build_rows(measure, subject, taken, vectors=False)


def build_contribution_rows(measure: FlowMeasure, subject: Subject) -> MeasuringResult:
    """The rows of every stage, if the network's output is a vector."""

    def taken(
        network: DifferentiableNetwork, images: Tensor, plans: dict[str, ComparisonPlan]
    ) -> dict[str, ShardMoments]:
        each = [compute_contributions(network, images, flow) for flow in measure.flows()]
        return {
            name: _compute_shard_moments([StageDerivatives(output, found[name], None) for output, found in each], plan)
            for name, plan in plans.items()
        }

    return _build_rows(measure, subject, taken, vectors=True)


def _compute_shard_moments(found: list[StageDerivatives], plan: ComparisonPlan) -> ShardMoments:
    """The moments of a = L f against b = own motion for maps, against the features for vectors; u = unmoved."""
    if plan.regions is None:
        pairs = [single_pair_moments(moved, features.double()) for features, moved, _ in found]
        return ShardMoments(_stack_moments(pairs), None, None)
    pairs, unmoved = [], []
    for (_, moved, own), region in zip(found, plan.regions, strict=True):
        assert own is not None
        here = (..., region.rows, region.columns)
        b = own[here].flatten(2)
        pairs.append(paired_moments(moved[here].flatten(2) - b, b))
        unmoved.append(paired_moments(moved[here].flatten(2), b))
    return ShardMoments(_stack_moments(pairs), None, pool_moments(_stack_moments(unmoved)))


def _stack_moments(pairs: list[Moments]) -> Moments:
    return Moments(*(torch.stack(fields, dim=1).cpu() for fields in zip(*pairs, strict=True)))


def _plan_stages(
    measure: FlowMeasure, subject: Subject, flows: Sequence[Flow], first: Tensor, vectors: bool
) -> tuple[dict[str, ComparisonPlan], dict[str, Geometry], list[Skipped]]:
    """The comparisons at each stage, the geometries of stages, and what cannot be measured."""
    elements = tuple(Element(flow.label, 0.0, ()) for flow in flows)
    modules = find_hook_points(subject.network, {**subject.stages, OUTPUT: ""})
    with evaluation_mode(subject.network):
        turned = isinstance(measure.group, AffineGroup)  # shifts do not ask where the cells lie
        geometries = probe_geometries(subject.network, modules, first, offsets=turned)
    edge = 0 if flows[0].circular else measure.edge
    output, known, plans, absent = geometries.pop(OUTPUT), {}, {}, []
    for stage, geometry in geometries.items():
        reason = geometry if isinstance(geometry, str) else _find_obstacle(measure, geometry, edge)
        if vectors and not reason and (isinstance(output, str) or output.grid is not None):
            reason = "the network's output is not a vector"
        if reason is not None:
            absent.append(Skipped(measure.name, stage, None, reason))
            continue
        assert isinstance(geometry, Geometry)
        known[stage] = geometry
        if vectors:
            assert isinstance(output, Geometry)
            plans[stage] = ComparisonPlan(output, measure.group, elements, (), None)
            continue
        regions = None
        if geometry.grid is not None:
            height, width = geometry.grid[:2]
            regions = (Region(slice(edge, height - edge), slice(edge, width - edge)),) * len(flows)
        plans[stage] = ComparisonPlan(geometry, measure.group, elements, (), regions)
    return plans, known, absent


def _find_obstacle(measure: FlowMeasure, geometry: Geometry, edge: int) -> str | None:
    """Why the map of a stage cannot be moved, or None."""
    if geometry.grid is None:
        return None
    if min(geometry.grid[:2]) < MIN_CELLS + 2 * edge:
        return f"its map of {geometry.grid.height} x {geometry.grid.width} cells is too small to differentiate"
    return measure.group.obstacle(geometry.grid)


ComputeShardMoments = Callable[[DifferentiableNetwork, Tensor, dict[str, ComparisonPlan]], dict[str, ShardMoments]]


def _build_rows(measure: FlowMeasure, subject: Subject, taken: ComputeShardMoments, vectors: bool) -> MeasuringResult:
    """All rows of the measure; `taken` computes the moments of one shard."""
    with evaluation_mode(subject.network):
        first = prepare_images(subject.images[:2], subject, subject.network)
    plans, known, absent = _plan_stages(measure, subject, measure.flows(), first, vectors)
    result = MeasuringResult([], absent)
    try:
        found = _sum_shards(subject.network, subject, known, plans, taken)
        untrained = {}
        if subject.untrained is not None:
            with evaluation_mode(subject.untrained):
                first = prepare_images(subject.images[:CALIBRATION_IMAGES], subject, subject.untrained)
                network = calibrate_batch_norms(subject.untrained, first)
            untrained = _sum_shards(network, subject, known, plans, taken)
    except NotImplementedError as missing:  # what torch says of an operation without a forward-mode derivative
        reason = f"an operation of the network has no forward-mode derivative: {str(missing).splitlines()[0]}"
        result.skipped.extend(Skipped(measure.name, stage, None, reason) for stage in plans)
        return result
    for stage, comparison in found.items():
        rows, skipped = _build_stage_rows(measure, stage, comparison, untrained.get(stage), subject)
        result.rows.extend(rows)
        result.skipped.extend(skipped)
    return result


def _sum_shards(
    network: nn.Module,
    subject: Subject,
    known: dict[str, Geometry],
    plans: dict[str, ComparisonPlan],
    taken: ComputeShardMoments,
) -> dict[str, Comparison]:
    """The moments of all images, by stage, from shards of them as in a `PairedPass`."""
    modules = find_hook_points(network, {name: subject.stages[name] for name in known})
    height, width = subject.images.shape[-2:]
    grid = Grid(height, width, 1, height, width, 0.0, 0.0)
    flowing = DifferentiableNetwork(network, [LocatedStage(name, modules[name], known[name]) for name in known], grid)
    sums = {name: Comparison(plan, count_jackknife_groups(len(subject.images))) for name, plan in plans.items()}
    with differentiable_evaluation(network):
        for images in split_into_shards(len(subject.images), SHARD_SIZE) if plans else []:
            batch = prepare_images(subject.images[images.start : images.stop], subject, network)
            for name, moments in taken(flowing, batch, plans).items():
                sums[name].add(images.start, moments)
    return sums


class _SumsOfSquares(NamedTuple):
    """Sums of squares of each channel: of the derivatives and of their scale."""

    derivatives: Float[Tensor, "*shape C"]
    scale: Float[Tensor, "*shape C"]


def _compute_sums_of_squares(moments: Moments, vectors: bool) -> _SumsOfSquares:
    mean_a, mean_b = moments.pairs * moments.mean_a.square(), moments.pairs * moments.mean_b.square()
    scale = moments.within_bb + moments.between_bb
    return _SumsOfSquares(moments.within_aa + moments.between_aa + mean_a, scale if vectors else scale + mean_b)


def _relative_root_mean_square(moments: Moments, vectors: bool) -> Float[Tensor, "*shape"]:
    """Root mean square of the derivatives over that of the scale, pooled over channels. NaN for 0 / 0."""
    derivatives, scale = _compute_sums_of_squares(moments, vectors)
    return (derivatives.sum(dim=-1) / scale.sum(dim=-1)).sqrt()


def _build_stage_rows(
    measure: FlowMeasure,
    stage: str,
    found: Comparison,
    untrained: Comparison | None,
    subject: Subject,
) -> MeasuringResult:
    """The rows of a stage: one for each flow."""
    plan, result = found.plan, MeasuringResult([], [])
    total, without = found.totals
    vectors = plan.regions is None
    sizes, value = _compute_sums_of_squares(total, vectors), _relative_root_mean_square(total, vectors)
    both = sizes.derivatives + sizes.scale
    dead = (both <= DEAD_VARIANCE_RATIO * both.mean(dim=-1, keepdim=True)).sum(dim=-1).tolist()
    raw = (sizes.derivatives.sum(dim=-1) / total.pairs.sum(dim=-1)).sqrt()
    nothing = torch.full_like(value, torch.nan)
    low, high = nothing, nothing
    if len(subject.images) >= MIN_IMAGES:
        low, high = jackknife_interval(value, _relative_root_mean_square(without, vectors), Scale.LOG)
    still = nothing if found.unmoved is None else _relative_root_mean_square(found.unmoved, vectors)
    before = nothing if untrained is None else _relative_root_mean_square(untrained.totals[0], vectors)
    for index, element in enumerate(plan.elements):
        if not value[index].isfinite():
            finite = bool(both[index].isfinite().all())
            reason = "its features do not vary" if finite else "its features or their derivatives are not finite"
            result.skipped.append(Skipped(measure.name, stage, element.label, reason))
            continue
        references = (None if bound[index].isnan() else bound[index].item() for bound in (low, high, still, before))
        columns = dict(zip(("low", "high", "no_motion", "untrained"), references, strict=True))
        row = build_row(measure, stage, subject, plan, None, value=value[index].item(), **columns)
        row = replace(
            row,
            element=element.label,
            raw=raw[index].item(),
            cells=plan.cells[index],
            channels=plan.geometry.channels,
            dead_channels=dead[index],
        )
        result.rows.append(add_caveats(row, measure))
    return result
