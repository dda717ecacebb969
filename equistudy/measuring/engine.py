"""One pass over the images for all measures that share a group: x, g1 x, ... gK x forward, moments in hooks.

Images are processed in fixed shards of SHARD_SIZE, because the last bits of a forward pass depend on its batch size.
Results are therefore bit-identical however the shards are distributed over workers.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from equistudy.groups.affine_group import AffineGroup
from equistudy.groups.group import Group
from equistudy.measuring.ceiling import compute_ceilings
from equistudy.measuring.comparison import Comparison, ComparisonPlan, ShardComparison, ShardDifferences
from equistudy.measuring.families import KeptStatistic, PairedMeasure, StatisticKey
from equistudy.measuring.firings import Firings, ShardFirings
from equistudy.measuring.geometry import Geometry, probe_geometries
from equistudy.measuring.intervals import count_jackknife_groups
from equistudy.measuring.measure import Measure, MeasuringResult, Skipped, Subject
from equistudy.measuring.predictions import Predictions, ShardPredictions
from equistudy.measuring.products import ShardProducts
from equistudy.measuring.spreads import ShardSpreads
from equistudy.measuring.stages import (
    CALIBRATION_IMAGES,
    calibrate_batch_norms,
    evaluation_mode,
    find_hook_points,
    observe_outputs,
    prepare_images,
)
from equistudy.recipe import Precision

__all__ = [
    "SHARD_SIZE",
    "PairedPass",
    "StatisticSums",
    "build_family_rows",
    "calibrate_untrained",
    "create_empty_sums",
    "group_into_families",
    "measure_all",
    "plan_measures",
    "split_into_shards",
]

# It decides digits of every value: with another number here, each measure under a group needs a higher REVISION.
SHARD_SIZE = 32

# Views in one forward pass of an accelerator. On a CPU it is one: nine views of 32 small images together leave the
# cache, and a ResNet-8 took 1.6 times as long for each image.
VIEWS_PER_BATCH = 8

OUTPUT = ""  # the network's own output, as a stage beside the named ones

SHARD_STATISTICS: dict[KeptStatistic, Any] = {
    KeptStatistic.MOMENTS: ShardComparison,
    KeptStatistic.DIFFERENCES: ShardDifferences,
    KeptStatistic.SPREADS: ShardSpreads,
    KeptStatistic.PREDICTIONS: ShardPredictions,
    KeptStatistic.PRODUCTS: ShardProducts,
    KeptStatistic.FIRINGS: ShardFirings,
}

StatisticSums = dict[StatisticKey, Predictions | Firings | Comparison]
ProbedGeometries = dict[tuple[tuple[int, ...], bool], dict[str, Geometry | str]]


def measure_all(measures: Sequence[Measure], subject: Subject, shard_size: int = SHARD_SIZE) -> MeasuringResult:
    """All rows of all measures for one network. Measures of one group share their passes over the images.

    The shard size changes float32 results in the sixth digit, and the shuffled floor, which pairs images within a
    shard. Stored tables always use the default.
    """
    if len(subject.images) < 2 or not subject.images.is_floating_point():
        raise ValueError(
            f"Measures need at least 2 images with values in [0, 1], got {len(subject.images)} of type "
            f"{subject.images.dtype}. Divide 8-bit images by 255."
        )
    result = MeasuringResult([], [])
    families, others = group_into_families(measures)
    for measure in others:
        _extend_result(result, measure.measure(subject))
    known: ProbedGeometries = {}
    for family in families:
        _extend_result(result, _measure_family(family, subject, shard_size, known))
    return result


def group_into_families(measures: Sequence[Measure]) -> tuple[list[list[PairedMeasure]], list[Measure]]:
    """The measures that share a pass, by group and precision, and those that have passes of their own."""
    families: dict[tuple[Group, Precision], list[PairedMeasure]] = {}
    others: list[Measure] = []
    for measure in dict.fromkeys(measures):
        if isinstance(measure, PairedMeasure) and measure.shares_pass:
            families.setdefault((measure.group, measure.precision), []).append(measure)
        else:
            others.append(measure)
    return list(families.values()), others


def split_into_shards(num_images: int, shard_size: int = SHARD_SIZE) -> list[range]:
    """The images of each shard. A single left-over image joins the shard before it, because the floor needs pairs."""
    starts = list(range(0, num_images, shard_size))
    if len(starts) > 1 and num_images - starts[-1] == 1:
        starts.pop()
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], num_images], strict=True)]


class PairedPass:
    """A pass of one network over the images under the group of its plans, shard by shard, in any order and place."""

    def __init__(self, network: nn.Module, subject: Subject, plans: dict[StatisticKey, ComparisonPlan]) -> None:
        self.network, self.subject, self.plans = network, subject, plans
        self._keys = {key.stage: [other for other in plans if other.stage == key.stage] for key in plans}
        self._modules = find_hook_points(network, {stage: _stage_paths(subject)[stage] for stage in self._keys})
        self._device = next((parameter.device.type for parameter in network.parameters()), "cpu")
        self.views_together = 1 if self._device == "cpu" else VIEWS_PER_BATCH

    def process_shard(self, images: range) -> dict[StatisticKey, Any]:
        """The statistics of one shard. Of the feature maps, only those of x are kept beyond their stage."""
        if not self.plans:
            return {}
        first = next(iter(self.plans.values()))
        views = first.group.views(self.subject.images[images.start : images.stop], self.subject.background)
        found = {key: SHARD_STATISTICS[key.watch](plan) for key, plan in self.plans.items()}
        done = together = 0

        def look(stage: str, output: Any) -> None:
            self.plans[self._keys[stage][0]].geometry.check_output(stage or "output", output, together)
            for view, features in enumerate(output.unflatten(0, (-1, len(images))), start=done):
                for key in self._keys[stage]:
                    found[key].take(view, features)

        short = torch.autocast(self._device, torch.bfloat16, enabled=first.precision is Precision.BFLOAT16)
        with evaluation_mode(self.network), observe_outputs(self.network, self._modules, look), short:
            for done in range(0, len(views), self.views_together):
                several = views[done : done + self.views_together]
                batch = several[0] if len(several) == 1 else torch.cat(several)
                together = len(batch)
                self.network(prepare_images(batch, self.subject, self.network))
        return {key: comparison.finish() for key, comparison in found.items()}

    def sum_statistics(self, shard_size: int = SHARD_SIZE) -> StatisticSums:
        """The sums over all images."""
        count = len(self.subject.images)
        sums = create_empty_sums(self.plans, count)
        for images in split_into_shards(count, shard_size):
            for key, part in self.process_shard(images).items():
                sums[key].add(images.start, part)
        return sums


def create_empty_sums(plans: dict[StatisticKey, ComparisonPlan], num_images: int) -> StatisticSums:
    """Empty sums: `Predictions` for predictions, `Firings` for firings, and a `Comparison` for every other key.

    The shards of a pass are added in the order of their images, wherever each was computed.
    """
    return {key: _create_empty_sum(key, plan, num_images) for key, plan in plans.items()}


def _create_empty_sum(key: StatisticKey, plan: ComparisonPlan, num_images: int) -> Predictions | Firings | Comparison:
    if key.watch is KeptStatistic.PREDICTIONS:
        return Predictions(plan)
    if key.firing_rate is not None:
        return Firings(plan, num_images, key.firing_rate)
    return Comparison(plan, count_jackknife_groups(num_images))


def plan_measures(
    measures: Sequence[PairedMeasure], subject: Subject, known: ProbedGeometries | None = None
) -> tuple[dict[StatisticKey, ComparisonPlan], list[Skipped]]:
    """What measures of one group compare at each stage of the network, and what they cannot compare.

    `known` caches the geometries of this subject for each image size that was probed.
    """
    known = {} if known is None else known
    first = measures[0].group.views(subject.images[:2], subject.background)[0]
    # where the cells lie takes longer to find than how far they are apart, and translations do not ask
    key = tuple(first.shape), isinstance(measures[0].group, AffineGroup)
    if key not in known:
        with evaluation_mode(subject.network):
            modules = find_hook_points(subject.network, _stage_paths(subject))
            known[key] = probe_geometries(
                subject.network, modules, prepare_images(first, subject, subject.network), offsets=key[1]
            )
    plans, absent = {}, []
    for measure in measures:
        for stage, geometry in known[key].items():
            if (stage == OUTPUT) != measure.of_output:
                continue
            if isinstance(geometry, str):
                absent.append(Skipped(measure.name, stage or "output", None, geometry))
            elif measure.is_applicable(geometry):
                plan, skipped = measure.plan_stage(stage, geometry)
                absent.extend(skipped)
                if plan is not None:
                    plans[measure.statistic_key(stage, plan)] = replace(plan, precision=measure.precision)
    return plans, absent


def _stage_paths(subject: Subject) -> dict[str, str]:
    """The path of each stage and of the network's own output."""
    return {**subject.stages, OUTPUT: ""}


def _measure_family(
    measures: list[PairedMeasure], subject: Subject, shard_size: int, known: ProbedGeometries
) -> MeasuringResult:
    """All rows of measures of one group."""
    plans, skipped = plan_measures(measures, subject, known)
    trained = PairedPass(subject.network, subject, plans).sum_statistics(shard_size)
    before: StatisticSums = {}
    if subject.untrained is not None:
        before = PairedPass(calibrate_untrained(measures[0].group, subject), subject, plans).sum_statistics(shard_size)
    result = build_family_rows(measures, trained, before, subject)
    return MeasuringResult(result.rows, skipped + result.skipped)


def calibrate_untrained(group: Group, subject: Subject) -> nn.Module:
    """The network before training, with its batch norms calibrated on the first images."""
    assert subject.untrained is not None
    first = group.views(subject.images[:CALIBRATION_IMAGES], subject.background)[0]
    with evaluation_mode(subject.untrained):
        return calibrate_batch_norms(subject.untrained, prepare_images(first, subject, subject.untrained))


def build_family_rows(
    measures: Sequence[PairedMeasure], trained: StatisticSums, untrained: StatisticSums, subject: Subject
) -> MeasuringResult:
    """The rows of measures of one group from the sums over all images; no `untrained` where there is none."""
    result = MeasuringResult([], [])
    for key, perfect in compute_ceilings({key: found.plan for key, found in trained.items()}, subject).items():
        sums = trained[key]
        assert isinstance(sums, Comparison)
        sums.ceiling = perfect
    for measure in measures:
        for key, found in trained.items():
            if key == measure.statistic_key(key.stage, found.plan) and measure.is_applicable(found.plan.geometry):
                _extend_result(result, measure.build_rows(key.stage, found, untrained.get(key), subject))
    return result


def _extend_result(result: MeasuringResult, more: MeasuringResult) -> None:
    result.rows.extend(more.rows)
    result.skipped.extend(more.skipped)
