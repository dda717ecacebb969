"""Units that fire for a small fraction of the images, and how often they still fire when these are transformed."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from equistudy.measuring.caveats import add_caveats
from equistudy.measuring.comparison import ComparisonPlan
from equistudy.measuring.families import PairedMeasure, Scale
from equistudy.measuring.intervals import MIN_IMAGES, count_jackknife_groups, jackknife_interval
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject
from equistudy.measuring.rows import build_row

__all__ = ["Firings", "ShardFirings", "build_firing_rows"]

SIGNS = (1, -1)  # a unit may signal its feature by high or by low values


class ShardFirings:
    """Features of one stage for all views of one shard; maps are averaged over their cells."""

    def __init__(self, plan: ComparisonPlan) -> None:
        self.plan = plan
        self._seen: list[Tensor] = []

    def take(self, view: int, output: Float[Tensor, "B ..."]) -> None:
        """Takes the output for the next view."""
        kept = torch.float64 if output.dtype == torch.float64 else torch.float32
        self._seen.append(self.plan.geometry.to_features(output).to(kept).cpu())

    def finish(self) -> Float[Tensor, "B V C"]:
        """The features of each view, x first."""
        return torch.stack(self._seen, dim=1)


class _Peaks(NamedTuple):
    """For each sign and unit, the images with the largest values in descending order; ties are in image order.

    `still` has the values for x times the sign, `images` their indices. `moved` has the values for each g x times the
    sign, `shuffled` those of the next image.
    """

    still: Float[Tensor, "S M C"]
    images: Int64[Tensor, "S M C"]
    moved: Float[Tensor, "S M V C"]
    shuffled: Float[Tensor, "S M V C"]


class Firings:
    """For each unit, the images for which it fires and its values along their trajectories, over all shards so far.

    Images with even and with odd indices are kept apart. Of each half, only as many images are kept as any threshold
    needs, including those without one jackknife group, so thresholds and counts are exact. Shards must be added in the
    order of their images.
    """

    def __init__(self, plan: ComparisonPlan, num_images: int, firing_rate: float) -> None:
        self.plan, self.num_images, self.firing_rate = plan, num_images, firing_rate
        self.num_groups = count_jackknife_groups(num_images)
        self._halves: list[_Peaks | None] = [None, None]
        self.finite = True

    def add(self, first_image: int, shard: Float[Tensor, "B V C"]) -> None:
        """Adds the features of a shard whose first image has this index."""
        self.finite = self.finite and bool(shard.isfinite().all())
        signed = torch.stack([sign * shard for sign in SIGNS])
        still, moved = signed[:, :, 0], signed[:, :, 1:]
        images = (first_image + torch.arange(len(shard)))[None, :, None].expand(still.shape)
        # one image alone has no other to be paired with
        shuffled = moved.roll(-1, dims=1) if len(shard) > 1 else torch.full_like(moved, torch.nan)
        for half in HALVES:
            mine = slice((half - first_image) % 2, None, 2)
            new = _Peaks(*(part[:, mine] for part in (still, images, moved, shuffled)))
            self._halves[half] = self._merge(self._halves[half], new, len(range(half, self.num_images, 2)))

    def _merge(self, known: _Peaks | None, new: _Peaks, num_images: int) -> _Peaks:
        """The largest values of both, as many as thresholds over that number of images need."""
        both = new if known is None else _Peaks(*(torch.cat(pair, dim=1) for pair in zip(known, new, strict=True)))
        largest_group = math.ceil(self.num_images / self.num_groups)
        needed = math.floor(max(1.0, self.firing_rate * num_images)) + 2 + largest_group
        order = both.still.sort(dim=1, descending=True, stable=True).indices[:, :needed]
        along = order[:, :, None].expand(-1, -1, both.moved.shape[2], -1)
        return _Peaks(*(part.gather(1, order) for part in both[:2]), *(part.gather(1, along) for part in both[2:]))

    def state(self) -> dict[str, Any]:
        """The state so far, as tensors, from which `load` continues in another process."""
        halves = [None if peaks is None else tuple(peaks) for peaks in self._halves]
        return {"halves": halves, "finite": self.finite}

    def load(self, state: dict[str, Any]) -> None:
        """Continues from a state; the sums stay bit-identical."""
        self._halves = [None if peaks is None else _Peaks(*peaks) for peaks in state["halves"]]
        self.finite = bool(state["finite"])

    def compute_scores(
        self, half: int, *, shuffled: bool = False, without_group: int | None = None
    ) -> Float[Tensor, "S C"]:
        """For each sign, the score of each unit on one half of the images: its local over its global firing rate.

        `shuffled` transforms another image instead of the one for which the unit fires; `without_group` leaves out one
        jackknife group. If `firing_rate` does not give a whole number of images, firings are interpolated. NaN for a
        unit with ties at its threshold, such as 0 after a ReLU.
        """
        peaks = self._halves[half]
        assert peaks is not None
        members = range(half, self.num_images, 2)
        kept, count = torch.ones_like(peaks.images, dtype=torch.bool), len(members)
        if without_group is not None:
            kept = peaks.images % self.num_groups != without_group
            count -= sum(image % self.num_groups == without_group for image in members)
        share = max(1.0, self.firing_rate * count)
        whole = math.floor(share)
        scores = self._count_firings(peaks, kept, whole, shuffled)
        if share > whole:  # between two thresholds
            more = self._count_firings(peaks, kept, whole + 1, shuffled)
            scores = scores + (share - whole) * (more - scores)
        return scores * count / share**2

    @staticmethod
    def _count_firings(peaks: _Peaks, kept: Bool[Tensor, "S M C"], firing: int, shuffled: bool) -> Float[Tensor, "S C"]:
        """The summed fractions of trajectories above the threshold, over the `firing` images that exceed it."""
        rank = kept.cumsum(dim=1)
        last, following = (
            (kept & (rank == place)).long().argmax(dim=1, keepdim=True) for place in (firing, firing + 1)
        )
        lowest, highest = (peaks.still.gather(1, place)[:, 0].double() for place in (last, following))
        threshold = (lowest + highest) / 2
        trajectories = peaks.shuffled if shuffled else peaks.moved
        fires = (trajectories > threshold[:, None, None]).double().mean(dim=2)
        fires = fires.where(~trajectories.isnan().any(dim=2), torch.nan)
        total = fires.where(kept & (rank <= firing), 0).sum(dim=1)
        return total.where(lowest > highest, torch.nan)

    def compute_values(self, top: float, *, shuffled: bool = False) -> tuple[float, list[float]]:
        """The mean score of the `top` fraction of the units, and the same without each jackknife group.

        Signs and best units for one half of the images are chosen by the scores on the other half: chosen on the same
        images, their scores would be biased upwards. The choice stays fixed when a group is left out, because switching
        between units that are about equally good would inflate the interval. NaN where no unit has a score.
        """
        scores = [self.compute_scores(half, shuffled=shuffled) for half in HALVES]
        chosen = [_choose_units(scores[1 - half], scores[half], top) for half in HALVES]
        groups = [] if shuffled else range(self.num_groups)
        return _average_halves(scores, chosen), [
            _average_halves([self.compute_scores(half, without_group=group) for half in HALVES], chosen)
            for group in groups
        ]


HALVES = (0, 1)


class _ChosenUnits(NamedTuple):
    """Units, and the index of the sign of each."""

    signs: Int64[Tensor, " K"]
    units: Int64[Tensor, " K"]


def _choose_units(known: Float[Tensor, "S C"], scores: Float[Tensor, "S C"], top: float) -> _ChosenUnits:
    """The units with the highest known scores, with their better signs, among those that have a score."""
    best, signs = known.where(~scores.isnan(), torch.nan).nan_to_num(nan=-1).max(dim=0)
    live = int((best >= 0).sum())
    units = best.sort(descending=True, stable=True).indices[: math.ceil(top * live - ROUNDING)]
    return _ChosenUnits(signs[units], units)


def _average_halves(scores: list[Float[Tensor, "S C"]], chosen: list[_ChosenUnits]) -> float:
    """The mean over both halves of the mean score of the units chosen for each."""
    return torch.stack([each[units].nanmean() for each, units in zip(scores, chosen, strict=True)]).mean().item()


ROUNDING = 1e-9  # 0.2 of 15 units are 3, although 0.2 * 15 is more


def build_firing_rows(
    measure: PairedMeasure, stage: str, found: Firings, untrained: Firings | None, subject: Subject, top: float
) -> MeasuringResult:
    """The row of one stage, or why there is none."""
    images, rate, channels = len(subject.images), found.firing_rate, found.plan.geometry.channels
    least = math.ceil(len(HALVES) / rate)
    value, without = found.compute_values(top) if images >= least else (math.nan, [])
    if not found.finite or math.isnan(value):
        reason = "its features are not finite"
        if found.finite and images < least:
            reason = f"a firing rate of {rate:g} needs at least {least} images, got {images}"
        elif found.finite:
            reason = f"none of {channels} features has a threshold that a fraction of {rate:g} of the images exceeds"
        return MeasuringResult([], [Skipped(measure.name, stage, None, reason)])
    low = high = None
    if images >= MIN_IMAGES:
        bounds = jackknife_interval(torch.tensor(value).double(), torch.tensor(without).double(), Scale.LOG)
        low, high = (None if bound.isnan() else min(bound.item(), 1 / rate) for bound in bounds)
    known = [found.compute_scores(half).isnan().all(dim=0) for half in HALVES]
    row = build_row(
        measure,
        stage,
        subject,
        found.plan,
        None,
        value=value,
        low=low,
        high=high,
        floor=_drop_undefined(found.compute_values(top, shuffled=True)[0]),
        untrained=None if untrained is None else _drop_undefined(untrained.compute_values(top)[0]),
        channels=channels,
        dead_channels=int((known[0] | known[1]).sum()),
    )
    return MeasuringResult([add_caveats(row, measure)], [])


def _drop_undefined(value: float) -> float | None:
    return None if math.isnan(value) else value
