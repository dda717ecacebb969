"""The predicted class of each view of each image, and the proportions that follow."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from equistudy.measuring.caveats import add_caveats
from equistudy.measuring.comparison import ComparisonPlan
from equistudy.measuring.families import PairedMeasure
from equistudy.measuring.intervals import wilson_interval
from equistudy.measuring.measure import Measurement, Subject
from equistudy.measuring.rows import build_row

__all__ = ["NO_PREDICTION", "Predictions", "ShardPredictions", "build_proportion_row"]

NO_PREDICTION = -1  # of outputs that are not finite


class ShardPredictions:
    """The predictions for all views of one shard."""

    def __init__(self, plan: ComparisonPlan) -> None:
        self.plan = plan
        self._seen: list[Tensor] = []

    def take(self, view: int, output: Float[Tensor, "B ..."]) -> None:
        """Takes the outputs for the next view; of equal outputs the first is the prediction."""
        scores = output.flatten(1)
        self._seen.append(torch.where(scores.isfinite().all(dim=1), scores.argmax(dim=1), NO_PREDICTION).cpu())

    def finish(self) -> Int64[Tensor, "B V"]:
        """The predictions, one column per view."""
        return torch.stack(self._seen, dim=1)


class Predictions:
    """The predictions of all shards so far, kept as integers in the order of the images."""

    def __init__(self, plan: ComparisonPlan) -> None:
        self.plan = plan
        self._shards: dict[int, Tensor] = {}

    def add(self, first_image: int, shard: Int64[Tensor, "B V"]) -> None:
        """Adds the predictions of a shard whose first image has this index."""
        self._shards[first_image] = shard

    def state(self) -> dict[int, Tensor]:
        """The state so far, keyed by the first image of each shard, from which `load` continues."""
        return dict(self._shards)

    def load(self, state: dict[int, Tensor]) -> None:
        """Continues from a state."""
        self._shards = dict(state)

    @property
    def table(self) -> Int64[Tensor, "N V"]:
        """The prediction for each view of each image; the first column is for x itself."""
        return torch.cat([self._shards[first] for first in sorted(self._shards)])


def build_proportion_row(
    measure: PairedMeasure,
    stage: str,
    subject: Subject,
    plan: ComparisonPlan,
    index: int,
    hits: Bool[Tensor, " N"],
    **values: float,
) -> Measurement:
    """The row of an element: the proportion of hits, with a Wilson interval."""
    count, images = int(hits.sum()), len(hits)
    low, high = wilson_interval(count, images)
    row = build_row(measure, stage, subject, plan, index, value=count / images, low=low, high=high, **values)
    return add_caveats(replace(row, depth=1.0), measure)
