"""Whether a classifier assigns a transformed image the same class, and the right one, element by element."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Bool, Int64

from equistudy.measures.group_measure import GroupMeasure
from equistudy.measuring.families import KeptStatistic
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject
from equistudy.spec import Tensor

if TYPE_CHECKING:
    from equistudy.measuring.comparison import ComparisonPlan
    from equistudy.measuring.geometry import Geometry
else:
    Geometry = ComparisonPlan = Any

__all__ = ["AccuracyUnder", "PredictionMeasure", "ShiftConsistency", "TopOneChange"]

HIGH_FLOOR = 0.2


@dataclass(frozen=True)
class PredictionMeasure(GroupMeasure):
    """Base of the measures that follow from the predicted class of each view.

    For every element, the value is the fraction of images that count as hits, with a Wilson interval. Counts are
    integers, identical for any number of workers. The stage is the network's output, named like the last stage.
    """

    watch: ClassVar[KeptStatistic] = KeptStatistic.PREDICTIONS
    of_output: ClassVar[bool] = True
    share: ClassVar[bool] = True

    def plan_stage(self, stage: str, geometry: Geometry) -> tuple[ComparisonPlan | None, list[Skipped]]:
        """Every element, of an output with one score for each class."""
        from equistudy.measuring.comparison import ComparisonPlan

        if geometry.grid is not None:
            reason = (
                f"its output is a map of {geometry.grid.height} x {geometry.grid.width}, not a score for each class"
            )
            return None, [Skipped(self.name, "output", None, reason)]
        views, elements = zip(*enumerate(self.group.elements(), start=1), strict=True)
        return ComparisonPlan(geometry, self.group, elements, views, None), []

    def build_rows(self, stage: str, found: Any, untrained: Any, subject: Subject) -> MeasuringResult:
        """One row for each element."""
        from equistudy.measuring.predictions import NO_PREDICTION, build_proportion_row

        stage, result = subject.output, MeasuringResult([], [])
        missing = self.obstacle(subject)
        predictions, before = found.table, None if untrained is None else untrained.table
        if missing is None and (predictions == NO_PREDICTION).any():
            missing = "its outputs are not finite"
        if missing is not None:
            return MeasuringResult([], [Skipped(self.name, stage, None, missing)])
        for index, view in enumerate(found.plan.views):
            values = self.compute_references(predictions, view, subject)
            if before is not None and not (before == NO_PREDICTION).any():
                values["untrained"] = _hit_rate(self.find_hits(before[:, view], before[:, 0], subject))
            hits = self.find_hits(predictions[:, view], predictions[:, 0], subject)
            result.rows.append(build_proportion_row(self, stage, subject, found.plan, index, hits, **values))
        return result

    def obstacle(self, subject: Subject) -> str | None:
        """Why the subject cannot be measured, or None."""
        return None

    def find_hits(
        self, predictions: Int64[Tensor, " N"], still: Int64[Tensor, " N"], subject: Subject
    ) -> Bool[Tensor, " N"]:
        """Which images are hits, from the predictions for g x and for x."""
        raise NotImplementedError

    def compute_references(self, predictions: Int64[Tensor, "N V"], view: int, subject: Subject) -> dict[str, float]:
        """The floor: the fraction of hits when each image is compared with the prediction for the next one."""
        return {"floor": _hit_rate(self.find_hits(predictions[:, view], predictions[:, 0].roll(-1), subject))}


@dataclass(frozen=True)
class ShiftConsistency(PredictionMeasure):
    """How often the class stays the same: P(argmax f(g x) = argmax f(x)), at each element.

    1 means always. A constant classifier also scores 1, so compare it with the floor, which is the fraction of pairs of
    different images that get the same class, and with the accuracy.

    Source: Zhang 2019, "Making convolutional networks shift-invariant again", arXiv:1904.11486. Differs from the
    authors' code, which draws one pair of shifts per batch: here every image is compared at every element with its own
    reference view, so the result does not depend on the batch size.
    """

    name: ClassVar[str] = "shift_consistency"
    title: ClassVar[str] = "Images that keep their class"

    def find_hits(
        self, predictions: Int64[Tensor, " N"], still: Int64[Tensor, " N"], subject: Subject
    ) -> Bool[Tensor, " N"]:
        """Images that keep their class."""
        return predictions == still

    def floor_caveat(self, floor: float) -> str | None:
        """Different images should get different classes."""
        return f"{floor:.2f} of pairs of different images get one class too" if floor > HIGH_FLOOR else None


@dataclass(frozen=True)
class TopOneChange(PredictionMeasure):
    """How often the most likely class changes: P(argmax f(g x) != argmax f(x)), at each element. 0: never.

    With `Translation(max_pixels=1)` this is the published number: the probability that a one-pixel shift changes it.

    Source: Azulay and Weiss 2019, "Why do deep convolutional networks generalize so poorly to small image
    transformations?", arXiv:1805.12177. Differs from theirs, which inpaints the pixels that enter: here the group's
    border decides.
    """

    name: ClassVar[str] = "top_one_change_error"
    title: ClassVar[str] = "Images that change their class"

    def find_hits(
        self, predictions: Int64[Tensor, " N"], still: Int64[Tensor, " N"], subject: Subject
    ) -> Bool[Tensor, " N"]:
        """Images that change their class."""
        return predictions != still

    def floor_caveat(self, floor: float) -> str | None:
        """Different images should get different classes."""
        return f"only {floor:.2f} of pairs of different images get two classes" if floor < 1 - HIGH_FLOOR else None


@dataclass(frozen=True)
class AccuracyUnder(PredictionMeasure):
    """The fraction of transformed images that are classified correctly, at each element: 1 is perfect.

    `no_motion` is the accuracy on the reference view, and `floor` the accuracy when labels are shuffled.
    """

    name: ClassVar[str] = "accuracy_under"
    title: ClassVar[str] = "Accuracy on moved images"

    def obstacle(self, subject: Subject) -> str | None:
        """Accuracy needs labels."""
        return "the images have no labels" if subject.targets is None else None

    def find_hits(
        self, predictions: Int64[Tensor, " N"], still: Int64[Tensor, " N"], subject: Subject
    ) -> Bool[Tensor, " N"]:
        """Images whose class is right."""
        assert subject.targets is not None
        return predictions == subject.targets.cpu()

    def compute_references(self, predictions: Int64[Tensor, "N V"], view: int, subject: Subject) -> dict[str, float]:
        """The accuracy on x itself, and that of the prediction for the next image."""
        moved, still = predictions[:, view], predictions[:, 0]
        floor, no_motion = (self.find_hits(found, still, subject) for found in (moved.roll(-1), still))
        return {"floor": _hit_rate(floor), "no_motion": _hit_rate(no_motion)}


def _hit_rate(hits: Bool[Tensor, " N"]) -> float:
    return int(hits.sum()) / len(hits)
