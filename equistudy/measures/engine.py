"""One pass over the images for all measures that share a group: x, g1 x, ... gK x forward, moments in hooks.

Images go forward in shards of SHARD_SIZE, always the same ones, for the last bits of a forward pass depend on its batch
size. So the results are the same bit for bit however the shards are spread over workers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from equistudy.groups.group import Group
from equistudy.measures.comparison import Comparison, Plan, ShardComparison, ShardMoments
from equistudy.measures.correlation import MomentMeasure
from equistudy.measures.geometry import Geometry, probe
from equistudy.measures.intervals import num_groups
from equistudy.measures.measure import Measure, MeasuringResult, Skipped, Subject
from equistudy.measures.rows import rows_of
from equistudy.measures.stages import CALIBRATION_IMAGES, calibrated, evaluating, modules_of, prepared, watching

__all__ = ["MIN_CELLS", "SHARD_SIZE", "Key", "PairedPass", "measure_all", "plans_of", "shards"]

# Both decide digits of every value: with another number here, each moment measure needs a higher REVISION.
SHARD_SIZE = 32
MIN_CELLS = 4  # along each axis; fewer say nothing about a correlation over positions

# Views in one forward pass of an accelerator. On a CPU it is one: nine views of 32 small images together leave the
# cache, and a ResNet-8 took 1.6 times as long for each image.
VIEWS_TOGETHER = 8


def measure_all(measures: Sequence[Measure], subject: Subject, shard_size: int = SHARD_SIZE) -> MeasuringResult:
    """All rows of all measures for one network. Measures of one group share their passes over the images.

    The shard size changes float32 results in the sixth digit, and the shuffled floor, which pairs images within a
    shard. Tables hold only what the default gives.
    """
    if len(subject.images) < 2 or not subject.images.is_floating_point():
        raise ValueError(
            f"Measures need at least 2 images with values in [0, 1], got {len(subject.images)} of type "
            f"{subject.images.dtype}. Divide 8-bit images by 255."
        )
    result = MeasuringResult([], [])
    families: dict[Group, list[MomentMeasure]] = {}
    for measure in dict.fromkeys(measures):
        if isinstance(measure, MomentMeasure):
            families.setdefault(measure.group, []).append(measure)
        else:
            _extend(result, measure.measure(subject))
    for family in families.values():
        _extend(result, _measured(family, subject, shard_size))
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
    """A pass of one network over the images under the group of its plans, shard by shard, in any order and place."""

    def __init__(self, network: nn.Module, subject: Subject, plans: dict[Key, Plan]) -> None:
        self.network, self.subject, self.plans = network, subject, plans
        self._keys = {key.stage: [other for other in plans if other.stage == key.stage] for key in plans}
        self._modules = modules_of(network, {stage: subject.stages[stage] for stage in self._keys})
        on_cpu = all(parameter.device.type == "cpu" for parameter in network.parameters())
        self.views_together = 1 if on_cpu else VIEWS_TOGETHER

    def shard(self, images: range) -> dict[Key, ShardMoments]:
        """The moments of a shard of the images. Of the feature maps, only those of x outlive their stage."""
        if not self.plans:
            return {}
        group = next(iter(self.plans.values())).group
        views = group.views(self.subject.images[images.start : images.stop], self.subject.background)
        found = {key: ShardComparison(plan) for key, plan in self.plans.items()}
        done = 0

        def look(stage: str, output: Any) -> None:
            for view, features in enumerate(output.unflatten(0, (-1, len(images))), start=done):
                for key in self._keys[stage]:
                    found[key].take(view, features)

        with evaluating(self.network), watching(self._modules, look):
            for done in range(0, len(views), self.views_together):
                batch = torch.cat(views[done : done + self.views_together])
                self.network(prepared(batch, self.subject, self.network))
        return {key: comparison.finished() for key, comparison in found.items()}

    def comparisons(self, shard_size: int = SHARD_SIZE) -> dict[Key, Comparison]:
        """The moments of all images."""
        count = len(self.subject.images)
        sums = {key: Comparison(plan, num_groups(count)) for key, plan in self.plans.items()}
        for images in shards(count, shard_size):
            for key, moments in self.shard(images).items():
                sums[key].add(images.start, moments)
        return sums


def plans_of(measures: Sequence[MomentMeasure], subject: Subject) -> tuple[dict[Key, Plan], list[Skipped]]:
    """What measures of one group compare at each stage of the network, and what they cannot."""
    first = measures[0].group.views(subject.images[:2], subject.background)[0]
    with evaluating(subject.network):
        modules = modules_of(subject.network, subject.stages)
        geometries = probe(subject.network, modules, prepared(first, subject, subject.network))
    plans, absent = {}, []
    for measure in measures:
        for stage, geometry in geometries.items():
            plan, skipped = _planned(measure, stage, geometry)
            absent.extend(skipped)
            if plan is not None:
                plans[Key(stage, measure.erosion if plan.regions is not None else None)] = plan
    return plans, absent


def _measured(measures: list[MomentMeasure], subject: Subject, shard_size: int) -> MeasuringResult:
    """All rows of measures of one group."""
    plans, skipped = plans_of(measures, subject)
    result = MeasuringResult([], skipped)
    trained = PairedPass(subject.network, subject, plans).comparisons(shard_size)
    untrained = _untrained(plans, measures[0].group, subject, shard_size)
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
    grid, elements = geometry.grid, list(enumerate(measure.group.elements(), start=1))
    if grid is None:
        views, every = zip(*elements, strict=True)
        return Plan(geometry, measure.group, every, views, None), []
    obstacle = measure.group.obstacle(grid)
    if obstacle is not None:
        return None, [Skipped(measure.name, stage, None, obstacle)]
    kept, skipped = [], []
    for view, element in elements:
        region = measure.group.region(element, grid, measure.erosion)
        if min(region.shape) >= MIN_CELLS:
            kept.append((element, view, region))
            continue
        left = " x ".join(map(str, region.shape))
        reason = f"{left} of {grid.height} x {grid.width} cells can be compared, fewer than {MIN_CELLS} x {MIN_CELLS}"
        skipped.append(Skipped(measure.name, stage, element.label, reason))
    if not kept:
        return None, skipped
    return Plan(geometry, measure.group, *(tuple(column) for column in zip(*kept, strict=True))), skipped


def _untrained(plans: dict[Key, Plan], group: Group, subject: Subject, shard_size: int) -> dict[Key, Comparison]:
    """The moments of the network before training, with its batch norms calibrated on the first images."""
    if subject.untrained is None:
        return {}
    first = group.views(subject.images[:CALIBRATION_IMAGES], subject.background)[0]
    with evaluating(subject.untrained):
        network = calibrated(subject.untrained, prepared(first, subject, subject.untrained))
    return PairedPass(network, subject, plans).comparisons(shard_size)


def _extend(result: MeasuringResult, more: MeasuringResult) -> None:
    result.rows.extend(more.rows)
    result.skipped.extend(more.skipped)
