"""The rows of matched correlations: channel maps from one half of the images, moments of the other half."""

from dataclasses import replace

from torch import nn

from equistudy.measuring.ceiling import ceilings
from equistudy.measuring.comparison import Comparison, Plan
from equistudy.measuring.engine import PairedPass, Sums, calibrated_untrained, plans_of, shards
from equistudy.measuring.families import Key, Matching, MomentStatistic, Watch
from equistudy.measuring.measure import MeasuringResult, Subject
from equistudy.measuring.products import Products, linear_maps, permutation_maps

__all__ = ["matched_rows"]

MAPS = {Matching.PERMUTATION: permutation_maps, Matching.LINEAR: linear_maps}
MIN_EACH = 2  # images in each half: one alone has no shuffled pair


def matched_rows(measure: MomentStatistic, matching: Matching, subject: Subject) -> MeasuringResult:
    """The rows of every stage."""
    if len(subject.images) < 2 * MIN_EACH:
        raise ValueError(
            f"{type(measure).__name__} needs at least {2 * MIN_EACH} images, half of them to find what happens to the "
            f"channels, got {len(subject.images)}. Measure with more images."
        )
    plans, skipped = plans_of([measure], subject)
    result = MeasuringResult([], skipped)
    held_out = subject._replace(images=subject.images[1::2], targets=None)
    found = _held_out(matching, subject.network, subject, plans)
    before: Sums = {}
    if subject.untrained is not None and plans:
        before = _held_out(matching, calibrated_untrained(measure.group, subject), subject, plans)
    perfect = ceilings(plans, held_out)
    for key, comparison in found.items():
        assert isinstance(comparison, Comparison)
        comparison.ceiling = perfect.get(key)
        rows, absent = measure.rows(key.stage, comparison, before.get(key), held_out)
        result.rows.extend(rows)
        result.skipped.extend(absent)
    return result


def _held_out(matching: Matching, network: nn.Module, subject: Subject, plans: dict[Key, Plan]) -> Sums:
    """The moments of the images of odd index, with the channel maps of a network from those of even index."""
    fitting = subject._replace(images=subject.images[::2], targets=None)
    watched = {key._replace(watch=Watch.PRODUCTS): plan for key, plan in plans.items()}
    sums: dict[Key, Products] = {}
    one_pass = PairedPass(network, fitting, watched)
    for images in shards(len(fitting.images)):
        for key, part in one_pass.shard(images).items():
            before = sums.get(key)
            sums[key] = part if before is None else Products(*(x + y for x, y in zip(before, part, strict=True)))
    mapped = {
        key: replace(plan, channel_maps=MAPS[matching](sums[key._replace(watch=Watch.PRODUCTS)]))
        for key, plan in plans.items()
    }
    held_out = subject._replace(images=subject.images[1::2], targets=None)
    return PairedPass(network, held_out, mapped).comparisons()
