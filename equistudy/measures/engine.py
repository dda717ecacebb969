"""One pass over the images for all measures that share a group: [x, g1 x, ... gK x] forward, moments in hooks.

A shard of SHARD_SIZE images is always one forward pass, for the last bits of a pass depend on its batch size. So the
results are the same bit for bit however the shards are spread over workers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from equistudy.groups.group import Group
from equistudy.measures.comparison import Comparison, Plan, ShardMoments, compared
from equistudy.measures.correlation import MomentMeasure
from equistudy.measures.geometry import Geometry, probe
from equistudy.measures.intervals import num_groups
from equistudy.measures.measure import Measure, MeasuringResult, Skipped, Subject
from equistudy.measures.rows import rows_of
from equistudy.measures.stages import CALIBRATION_IMAGES, calibrated, evaluating, modules_of, prepared, watching

__all__ = ["MIN_CELLS", "SHARD_SIZE", "Key", "PairedPass", "measure_all", "shards"]

SHARD_SIZE = 32
MIN_CELLS = 4  # along each axis; fewer say nothing about a correlation over positions


def measure_all(measures: Sequence[Measure], subject: Subject, shard_size: int = SHARD_SIZE) -> MeasuringResult:
    """All rows of all measures for one network. Measures of one group share their passes over the images.

    The shard size changes float32 results in the sixth digit, and the shuffled floor, which pairs images within a
    shard. Tables hold only what the default gives.
    """
    result = MeasuringResult([], [])
    groups = dict.fromkeys(measure.group for measure in measures if isinstance(measure, MomentMeasure))
    for group in groups:
        family = [measure for measure in measures if isinstance(measure, MomentMeasure) and measure.group == group]
        _extend(result, _measured(group, family, subject, shard_size))
    for measure in measures:
        if not isinstance(measure, MomentMeasure):
            _extend(result, measure.measure(subject))
    return result


def shards(num_images: int, shard_size: int = SHARD_SIZE) -> list[range]:
    """The images of each shard. One image left over joins the shard before it, for alone it has no floor."""
    starts = list(range(0, num_images, shard_size))
    if len(starts) > 1 and num_images - starts[-1] == 1:
        starts.pop()
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], num_images], strict=True)]


class Key(NamedTuple):
    """Which moments: those of a stage, with so many cells eroded (None for vectors)."""

    stage: str
    erosion: int | None


class PairedPass:
    """A pass of one network over the images under one group, shard by shard, in any order and any place."""

    def __init__(self, network: nn.Module, subject: Subject, group: Group, plans: dict[Key, Plan]) -> None:
        self.network, self.subject, self.group, self.plans = network, subject, group, plans

    def shard(self, images: range) -> dict[Key, ShardMoments]:
        """The moments of a shard of the images. The feature maps are gone once their stage has run."""
        views = self.group.views(self.subject.images[images.start : images.stop], self.subject.background)
        moments: dict[Key, ShardMoments] = {}
        order = {element: index for index, element in enumerate(self.group.elements())}

        def look(stage: str, output: Any) -> None:
            for key, plan in self.plans.items():
                if key.stage == stage:
                    indices = tuple(order[element] for element in plan.elements)
                    moments[key] = compared(output, len(views), indices, plan)

        modules = modules_of(self.network, {key.stage: self.subject.stages[key.stage] for key in self.plans})
        with evaluating(self.network), watching(modules, look):
            self.network(prepared(torch.cat(views), self.subject, self.network))
        return moments

    def comparisons(self, shard_size: int) -> dict[Key, Comparison]:
        """The moments of all images."""
        count = len(self.subject.images)
        sums = {key: Comparison(plan, num_groups(count)) for key, plan in self.plans.items()}
        for images in shards(count, shard_size):
            for key, moments in self.shard(images).items():
                sums[key].add(images.start, moments)
        return sums


def _measured(group: Group, measures: list[MomentMeasure], subject: Subject, shard_size: int) -> MeasuringResult:
    """All rows of the measures of one group."""
    first = group.views(subject.images[:2], subject.background)[0]
    with evaluating(subject.network):
        modules = modules_of(subject.network, subject.stages)
        geometries = probe(subject.network, modules, prepared(first, subject, subject.network))
    result, plans = MeasuringResult([], []), {}
    for measure in measures:
        for stage, geometry in geometries.items():
            plan, skipped = _planned(measure, stage, geometry)
            result.skipped.extend(skipped)
            if plan is not None:
                plans[Key(stage, measure.erosion if plan.regions is not None else None)] = plan
    trained = PairedPass(subject.network, subject, group, plans).comparisons(shard_size)
    untrained = _untrained(group, plans, subject, shard_size)
    for measure in measures:
        for key, comparison in trained.items():
            if measure.takes(comparison.plan.geometry) and key.erosion in (None, measure.erosion):
                _extend(result, rows_of(measure, key.stage, comparison, untrained.get(key), subject))
    return result


def _planned(measure: MomentMeasure, stage: str, geometry: Geometry | str) -> tuple[Plan | None, list[Skipped]]:
    """What a measure compares at a stage, and what it cannot."""
    if isinstance(geometry, str):
        return None, [Skipped(measure.name, stage, None, geometry)]
    if not measure.takes(geometry):
        return None, []
    elements, grid = measure.group.elements(), geometry.grid
    if grid is None:
        return Plan(geometry, measure.group, elements, None), []
    obstacle = measure.group.obstacle(grid)
    if obstacle is not None:
        return None, [Skipped(measure.name, stage, None, obstacle)]
    kept, skipped = [], []
    for element in elements:
        region = measure.group.region(element, grid, measure.erosion)
        if min(region.shape) >= MIN_CELLS:
            kept.append((element, region))
            continue
        left = " x ".join(map(str, region.shape))
        reason = f"{left} of {grid.height} x {grid.width} cells can be compared, fewer than {MIN_CELLS} x {MIN_CELLS}"
        skipped.append(Skipped(measure.name, stage, element.label, reason))
    if not kept:
        return None, skipped
    return Plan(geometry, measure.group, *(tuple(column) for column in zip(*kept, strict=True))), skipped


def _untrained(group: Group, plans: dict[Key, Plan], subject: Subject, shard_size: int) -> dict[Key, Comparison]:
    """The moments of the network before training, with its batch norms calibrated on the first images."""
    if subject.untrained is None:
        return {}
    first = group.views(subject.images[:CALIBRATION_IMAGES], subject.background)[0]
    with evaluating(subject.untrained):
        network = calibrated(subject.untrained, prepared(first, subject, subject.untrained))
    return PairedPass(network, subject, group, plans).comparisons(shard_size)


def _extend(result: MeasuringResult, more: MeasuringResult) -> None:
    result.rows.extend(more.rows)
    result.skipped.extend(more.skipped)
