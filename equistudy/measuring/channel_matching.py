"""The rows of matched correlations: channel maps are fitted on one half of the images and evaluated on the other."""

from dataclasses import replace

from torch import nn

from equistudy.measuring.ceiling import compute_ceilings
from equistudy.measuring.comparison import Comparison, ComparisonPlan
from equistudy.measuring.engine import PairedPass, StatisticSums, calibrate_untrained, plan_measures, split_into_shards
from equistudy.measuring.families import KeptStatistic, Matching, MomentStatistic, StatisticKey
from equistudy.measuring.measure import MeasuringResult, Subject
from equistudy.measuring.products import ChannelProducts, fit_linear_maps, fit_permutation_maps

__all__ = ["build_matched_rows"]

CHANNEL_MAP_FITTERS = {Matching.PERMUTATION: fit_permutation_maps, Matching.LINEAR: fit_linear_maps}
MIN_IMAGES_PER_HALF = 2  # images in each half: one alone has no shuffled pair


def build_matched_rows(measure: MomentStatistic, matching: Matching, subject: Subject) -> MeasuringResult:
    """The rows of every stage."""
    if len(subject.images) < 2 * MIN_IMAGES_PER_HALF:
        raise ValueError(
            f"{type(measure).__name__} needs at least {2 * MIN_IMAGES_PER_HALF} images, half of them to find what "
            "happens to the "
            f"channels, got {len(subject.images)}. Measure with more images."
        )
    plans, skipped = plan_measures([measure], subject)
    result = MeasuringResult([], skipped)
    held_out = subject._replace(images=subject.images[1::2], targets=None)
    found = _measure_held_out(matching, subject.network, subject, plans)
    before: StatisticSums = {}
    if subject.untrained is not None and plans:
        before = _measure_held_out(matching, calibrate_untrained(measure.group, subject), subject, plans)
    perfect = compute_ceilings(plans, held_out)
    for key, comparison in found.items():
        assert isinstance(comparison, Comparison)
        comparison.ceiling = perfect.get(key)
        rows, absent = measure.build_rows(key.stage, comparison, before.get(key), held_out)
        result.rows.extend(rows)
        result.skipped.extend(absent)
    return result


def _measure_held_out(
    matching: Matching, network: nn.Module, subject: Subject, plans: dict[StatisticKey, ComparisonPlan]
) -> StatisticSums:
    """The moments of the images with odd indices, with channel maps fitted on those with even indices."""
    fitting = subject._replace(images=subject.images[::2], targets=None)
    watched = {key._replace(watch=KeptStatistic.PRODUCTS): plan for key, plan in plans.items()}
    sums: dict[StatisticKey, ChannelProducts] = {}
    one_pass = PairedPass(network, fitting, watched)
    for images in split_into_shards(len(fitting.images)):
        for key, part in one_pass.process_shard(images).items():
            before = sums.get(key)
            sums[key] = part if before is None else ChannelProducts(*(x + y for x, y in zip(before, part, strict=True)))
    mapped = {
        key: replace(plan, channel_maps=CHANNEL_MAP_FITTERS[matching](sums[key._replace(watch=KeptStatistic.PRODUCTS)]))
        for key, plan in plans.items()
    }
    held_out = subject._replace(images=subject.images[1::2], targets=None)
    return PairedPass(network, held_out, mapped).sum_statistics()
