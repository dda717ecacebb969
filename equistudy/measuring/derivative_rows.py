"""The rows of the Lie derivatives: what is differentiated at each stage, and values with their intervals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.groups.affine_group import AffineGroup
from equistudy.groups.group import Element, Grid, Region
from equistudy.measuring.caveats import noted
from equistudy.measuring.comparison import MIN_CELLS, Comparison, Plan, ShardMoments
from equistudy.measuring.derivatives import OUTPUT, Derivatives, Flowing, Stage, contributions, differentiating
from equistudy.measuring.engine import SHARD_SIZE, shards
from equistudy.measuring.families import FlowMeasure
from equistudy.measuring.flow import Flow
from equistudy.measuring.geometry import Geometry, probe
from equistudy.measuring.intervals import MIN_IMAGES, jackknife, num_groups
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject
from equistudy.measuring.moments import Moments, paired, pooled, singles
from equistudy.measuring.rows import DEAD, blank_row
from equistudy.measuring.scale import Scale
from equistudy.measuring.stages import CALIBRATION_IMAGES, calibrated, evaluating, modules_of, prepared

__all__ = ["contribution_rows", "derivative_rows"]


def derivative_rows(measure: FlowMeasure, subject: Subject) -> MeasuringResult:
    """The rows of every stage."""

    def taken(network: Flowing, images: Tensor, plans: dict[str, Plan]) -> dict[str, ShardMoments]:
        each = network.derivatives(images, measure.flows())
        return {name: _shard_moments([found[name] for found in each], plan) for name, plan in plans.items()}

    return _rows(measure, subject, taken, vectors=False)


def contribution_rows(measure: FlowMeasure, subject: Subject) -> MeasuringResult:
    """The rows of every stage, if the network's output is a vector."""

    def taken(network: Flowing, images: Tensor, plans: dict[str, Plan]) -> dict[str, ShardMoments]:
        each = [contributions(network, images, flow) for flow in measure.flows()]
        return {
            name: _shard_moments([Derivatives(output, found[name], None) for output, found in each], plan)
            for name, plan in plans.items()
        }

    return _rows(measure, subject, taken, vectors=True)


def _shard_moments(found: list[Derivatives], plan: Plan) -> ShardMoments:
    """The moments of a = L f against b = own motion for maps, against the features for vectors; u = unmoved."""
    if plan.regions is None:
        pairs = [singles(moved, features.double()) for features, moved, _ in found]
        return ShardMoments(_stacked(pairs), None, None)
    pairs, unmoved = [], []
    for (_, moved, own), region in zip(found, plan.regions, strict=True):
        assert own is not None
        here = (..., region.rows, region.columns)
        b = own[here].flatten(2)
        pairs.append(paired(moved[here].flatten(2) - b, b))
        unmoved.append(paired(moved[here].flatten(2), b))
    return ShardMoments(_stacked(pairs), None, pooled(_stacked(unmoved)))


def _stacked(pairs: list[Moments]) -> Moments:
    return Moments(*(torch.stack(fields, dim=1).cpu() for fields in zip(*pairs, strict=True)))


def _planned(
    measure: FlowMeasure, subject: Subject, flows: Sequence[Flow], first: Tensor, vectors: bool
) -> tuple[dict[str, Plan], dict[str, Geometry], list[Skipped]]:
    """What is measured at each stage, the geometry of each stage that has one, and what cannot be measured."""
    elements = tuple(Element(flow.label, 0.0, ()) for flow in flows)
    modules = modules_of(subject.network, {**subject.stages, OUTPUT: ""})
    with evaluating(subject.network):
        turned = isinstance(measure.group, AffineGroup)  # shifts do not ask where the cells lie
        geometries = probe(subject.network, modules, first, offsets=turned)
    edge = 0 if flows[0].circular else measure.edge
    output, known, plans, absent = geometries.pop(OUTPUT), {}, {}, []
    for stage, geometry in geometries.items():
        reason = geometry if isinstance(geometry, str) else _obstacle(measure, geometry, edge)
        if vectors and not reason and (isinstance(output, str) or output.grid is not None):
            reason = "the network's output is no vector"
        if reason is not None:
            absent.append(Skipped(measure.name, stage, None, reason))
            continue
        assert isinstance(geometry, Geometry)
        known[stage] = geometry
        if vectors:
            assert isinstance(output, Geometry)
            plans[stage] = Plan(output, measure.group, elements, (), None)
            continue
        regions = None
        if geometry.grid is not None:
            height, width = geometry.grid[:2]
            regions = (Region(slice(edge, height - edge), slice(edge, width - edge)),) * len(flows)
        plans[stage] = Plan(geometry, measure.group, elements, (), regions)
    return plans, known, absent


def _obstacle(measure: FlowMeasure, geometry: Geometry, edge: int) -> str | None:
    """Why the map of a stage cannot be moved, or None."""
    if geometry.grid is None:
        return None
    if min(geometry.grid[:2]) < MIN_CELLS + 2 * edge:
        return f"its map of {geometry.grid.height} x {geometry.grid.width} cells is too small to differentiate"
    return measure.group.obstacle(geometry.grid)


Taken = Callable[[Flowing, Tensor, dict[str, Plan]], dict[str, ShardMoments]]


def _rows(measure: FlowMeasure, subject: Subject, taken: Taken, vectors: bool) -> MeasuringResult:
    """All rows of the measure from passes over the images that take these moments."""
    with evaluating(subject.network):
        first = prepared(subject.images[:2], subject, subject.network)
    plans, known, absent = _planned(measure, subject, measure.flows(), first, vectors)
    result = MeasuringResult([], absent)
    try:
        found = _summed(subject.network, subject, known, plans, taken)
        untrained = {}
        if subject.untrained is not None:
            with evaluating(subject.untrained):
                first = prepared(subject.images[:CALIBRATION_IMAGES], subject, subject.untrained)
                network = calibrated(subject.untrained, first)
            untrained = _summed(network, subject, known, plans, taken)
    except NotImplementedError as missing:  # what torch says of an operation without a forward-mode derivative
        reason = f"an operation of the network has no forward-mode derivative: {str(missing).splitlines()[0]}"
        result.skipped.extend(Skipped(measure.name, stage, None, reason) for stage in plans)
        return result
    for stage, comparison in found.items():
        rows, skipped = _stage_rows(measure, stage, comparison, untrained.get(stage), subject)
        result.rows.extend(rows)
        result.skipped.extend(skipped)
    return result


def _summed(
    network: nn.Module, subject: Subject, known: dict[str, Geometry], plans: dict[str, Plan], taken: Taken
) -> dict[str, Comparison]:
    """The moments of all images, by stage, from shards of them as in a `PairedPass`."""
    modules = modules_of(network, {name: subject.stages[name] for name in known})
    height, width = subject.images.shape[-2:]
    grid = Grid(height, width, 1, height, width, 0.0, 0.0)
    flowing = Flowing(network, [Stage(name, modules[name], known[name]) for name in known], grid)
    sums = {name: Comparison(plan, num_groups(len(subject.images))) for name, plan in plans.items()}
    with differentiating(network):
        for images in shards(len(subject.images), SHARD_SIZE) if plans else []:
            batch = prepared(subject.images[images.start : images.stop], subject, network)
            for name, moments in taken(flowing, batch, plans).items():
                sums[name].add(images.start, moments)
    return sums


class _Sizes(NamedTuple):
    """Sums of squares of each channel: of the derivatives, and of what they are a share of."""

    derivatives: Float[Tensor, "*shape C"]
    scale: Float[Tensor, "*shape C"]


def _sizes(moments: Moments, vectors: bool) -> _Sizes:
    mean_a, mean_b = moments.pairs * moments.mean_a.square(), moments.pairs * moments.mean_b.square()
    scale = moments.within_bb + moments.between_bb
    return _Sizes(moments.within_aa + moments.between_aa + mean_a, scale if vectors else scale + mean_b)


def _share(moments: Moments, vectors: bool) -> Float[Tensor, "*shape"]:
    """Root mean square of the derivatives over that of the scale, all channels together. Not a number if 0 / 0."""
    derivatives, scale = _sizes(moments, vectors)
    return (derivatives.sum(dim=-1) / scale.sum(dim=-1)).sqrt()


def _stage_rows(
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
    sizes, value = _sizes(total, vectors), _share(total, vectors)
    both = sizes.derivatives + sizes.scale
    dead = (both <= DEAD * both.mean(dim=-1, keepdim=True)).sum(dim=-1).tolist()
    raw = (sizes.derivatives.sum(dim=-1) / total.pairs.sum(dim=-1)).sqrt()
    nothing = torch.full_like(value, torch.nan)
    low, high = nothing, nothing
    if len(subject.images) >= MIN_IMAGES:
        low, high = jackknife(value, _share(without, vectors), Scale.LOG)
    still = nothing if found.unmoved is None else _share(found.unmoved, vectors)
    before = nothing if untrained is None else _share(untrained.totals[0], vectors)
    for index, element in enumerate(plan.elements):
        if not value[index].isfinite():
            finite = bool(both[index].isfinite().all())
            reason = "its features do not vary" if finite else "its features or their derivatives are not finite"
            result.skipped.append(Skipped(measure.name, stage, element.label, reason))
            continue
        references = (None if bound[index].isnan() else bound[index].item() for bound in (low, high, still, before))
        columns = dict(zip(("low", "high", "no_motion", "untrained"), references, strict=True))
        row = blank_row(measure, stage, subject, plan, None, value=value[index].item(), **columns)
        row = replace(
            row,
            element=element.label,
            raw=raw[index].item(),
            cells=plan.cells[index],
            channels=plan.geometry.channels,
            dead_channels=dead[index],
        )
        result.rows.append(noted(row, measure))
    return result
