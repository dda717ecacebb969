"""The variation of features over the elements and over the images, and the ratio of the two."""

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.measuring.caveats import add_caveats
from equistudy.measuring.comparison import Comparison, ComparisonPlan, ShardMoments
from equistudy.measuring.families import PairedMeasure, Scale
from equistudy.measuring.intervals import MIN_IMAGES, jackknife_interval
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject
from equistudy.measuring.moments import Moments, pool_moments, single_pair_moments
from equistudy.measuring.rows import DEAD_VARIANCE_RATIO, build_row

__all__ = ["ShardSpreads", "build_spread_rows", "compute_variation"]


class ShardSpreads:
    """Features of one stage for all views of one shard; maps are averaged over their cells.

    In each pair of the moments, a is the feature for one view, and b the standard deviation over all views of its
    image. So over images the spread of a and the mean of b are what the ratio needs.
    """

    def __init__(self, plan: ComparisonPlan) -> None:
        self.plan = plan
        self._seen: list[Tensor] = []

    def take(self, view: int, output: Float[Tensor, "B ..."]) -> None:
        """Takes the output for the next view."""
        self._seen.append(self.plan.geometry.to_features(output).double().cpu())

    def finish(self) -> ShardMoments:
        """The moments of the shard; `shuffled` takes each view from another image."""
        matched = torch.stack(self._seen, dim=1)
        shuffled = torch.stack([found.roll(-view, dims=0) for view, found in enumerate(self._seen)], dim=1)
        return ShardMoments(
            _compute_spread(matched), pool_moments(_compute_spread(shuffled)) if len(matched) > 1 else None, None
        )


def _compute_spread(values: Float[Tensor, "B V C"]) -> Moments:
    return single_pair_moments(values, values.std(dim=1, keepdim=True).expand_as(values))


def compute_variation(moments: Moments) -> tuple[Float[Tensor, "*shape C"], Float[Tensor, "*shape C"]]:
    """Of moments (*shape, V, C): the mean over images of the standard deviation over views, and the other way round."""
    over_images = (moments.between_aa / (moments.pairs - 1)).sqrt()
    return moments.mean_b[..., 0, :], over_images.mean(dim=-2)


def _compute_value(moments: Moments, live: Tensor) -> Float[Tensor, "*shape"]:
    """The mean ratio over the live features; NaN if there is none."""
    over_views, over_images = compute_variation(moments)
    return torch.where(live, over_views / over_images, torch.nan).nanmean(dim=-1)


def _find_live_features(moments: Moments) -> Tensor:
    """The features whose variance over images is not negligible within the layer."""
    spread = compute_variation(moments)[1].square()
    return spread > DEAD_VARIANCE_RATIO * spread.mean(dim=-1, keepdim=True)


def _compute_own_variation(moments: Moments | None) -> float | None:
    """The value of other features, over those that live there; None where there is none."""
    if moments is None:
        return None
    value = _compute_value(moments, _find_live_features(moments))
    return None if value.isnan() else value.item()


def build_spread_rows(
    measure: PairedMeasure, stage: str, found: Comparison, untrained: Comparison | None, subject: Subject
) -> MeasuringResult:
    """The row of one stage, or why there is none."""
    total, without = found.totals
    live, channels = _find_live_features(total), found.plan.geometry.channels
    value = _compute_value(total, live)
    if not (total.mean_a.isfinite().all() and live.any()):
        finite = bool(total.mean_a.isfinite().all())
        reason = f"none of {channels} features varies over the images" if finite else "its features are not finite"
        return MeasuringResult([], [Skipped(measure.name, stage, None, reason)])
    low = high = None
    if len(subject.images) >= MIN_IMAGES:
        bounds = jackknife_interval(value, _compute_value(without, _find_live_features(without)), Scale.LOG)
        low, high = (None if bound.isnan() else bound.item() for bound in bounds)
    row = build_row(
        measure,
        stage,
        subject,
        found.plan,
        None,
        value=value.item(),
        low=low,
        high=high,
        floor=_compute_own_variation(found.shuffled),
        untrained=_compute_own_variation(None if untrained is None else untrained.totals[0]),
        channels=channels,
        dead_channels=int((~live).sum()),
    )
    return MeasuringResult([add_caveats(row, measure)], [])
