"""Whether a classifier gives a moved image the same class, and the right one: counted, element by element."""

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
    """Base of the measures that follow from the class that the network's own output answers to each view.

    For every element, the value is the share of images that count, with Wilson's interval; the counts are whole
    numbers, the same however the images are spread over workers. The stage is the network's output, under the name of
    the last stage.
    """

    watch: ClassVar[KeptStatistic] = KeptStatistic.ANSWERS
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
        answers, before = found.table, None if untrained is None else untrained.table
        if missing is None and (answers == NO_PREDICTION).any():
            missing = "its outputs are not finite"
        if missing is not None:
            return MeasuringResult([], [Skipped(self.name, stage, None, missing)])
        for index, view in enumerate(found.plan.views):
            values = self.compute_references(answers, view, subject)
            if before is not None and not (before == NO_PREDICTION).any():
                values["untrained"] = _hit_rate(self.find_hits(before[:, view], before[:, 0], subject))
            hits = self.find_hits(answers[:, view], answers[:, 0], subject)
            result.rows.append(build_proportion_row(self, stage, subject, found.plan, index, hits, **values))
        return result

    def obstacle(self, subject: Subject) -> str | None:
        """Why the subject cannot be measured, or None."""
        return None

    def find_hits(
        self, answers: Int64[Tensor, " N"], still: Int64[Tensor, " N"], subject: Subject
    ) -> Bool[Tensor, " N"]:
        """Which images count, from the answers to g x and to x."""
        raise NotImplementedError

    def compute_references(self, answers: Int64[Tensor, "N V"], view: int, subject: Subject) -> dict[str, float]:
        """The floor: the share for shuffled images, each compared with the answer to the next one."""
        return {"floor": _hit_rate(self.find_hits(answers[:, view], answers[:, 0].roll(-1), subject))}


@dataclass(frozen=True)
class ShiftConsistency(PredictionMeasure):
    """How often the class stays the same: P(argmax f(g x) = argmax f(x)), at each element.

    1: always. A constant classifier has 1 too, so read it beside the floor, which is the share of pairs of different
    images that get one class, and beside the accuracy.

    Source: Zhang 2019, "Making convolutional networks shift-invariant again", arXiv:1904.11486. Differs from the
    authors' code, which draws one pair of shifts for each batch: here every image is compared at every element with its
    own reference view, so nothing depends on a batch.
    """

    name: ClassVar[str] = "shift_consistency"
    title: ClassVar[str] = "Images that keep their class"

    def find_hits(
        self, answers: Int64[Tensor, " N"], still: Int64[Tensor, " N"], subject: Subject
    ) -> Bool[Tensor, " N"]:
        """The same class."""
        return answers == still

    def floor_caveat(self, floor: float) -> str | None:
        """Different images should get different classes."""
        return f"{floor:.2f} of pairs of different images get one class too" if floor > HIGH_FLOOR else None


@dataclass(frozen=True)
class TopOneChange(PredictionMeasure):
    """How often the most likely class changes: P(argmax f(g x) != argmax f(x)), at each element. 0: never.

    With `Translation(max_pixels=1)` the published number: the probability of a change by a shift of one pixel.

    Source: Azulay and Weiss 2019, "Why do deep convolutional networks generalize so poorly to small image
    transformations?", arXiv:1805.12177. Differs from theirs, which inpaints what enters: here it is what the group's
    border says.
    """

    name: ClassVar[str] = "top_one_change_error"
    title: ClassVar[str] = "Images that change their class"

    def find_hits(
        self, answers: Int64[Tensor, " N"], still: Int64[Tensor, " N"], subject: Subject
    ) -> Bool[Tensor, " N"]:
        """Another class."""
        return answers != still

    def floor_caveat(self, floor: float) -> str | None:
        """Different images should get different classes."""
        return f"only {floor:.2f} of pairs of different images get two classes" if floor < 1 - HIGH_FLOOR else None


@dataclass(frozen=True)
class AccuracyUnder(PredictionMeasure):
    """The share of moved images that are classified correctly, at each element: 1 is perfect.

    `no_motion` is the accuracy on the reference view, the floor that on the labels of other images.
    """

    name: ClassVar[str] = "accuracy_under"
    title: ClassVar[str] = "Accuracy on moved images"

    def obstacle(self, subject: Subject) -> str | None:
        """Accuracy needs labels."""
        return "the images have no labels" if subject.targets is None else None

    def find_hits(
        self, answers: Int64[Tensor, " N"], still: Int64[Tensor, " N"], subject: Subject
    ) -> Bool[Tensor, " N"]:
        """The right class."""
        assert subject.targets is not None
        return answers == subject.targets.cpu()

    def compute_references(self, answers: Int64[Tensor, "N V"], view: int, subject: Subject) -> dict[str, float]:
        """The accuracy on x itself, and that of the next image's answer."""
        moved, still = answers[:, view], answers[:, 0]
        floor, no_motion = (self.find_hits(found, still, subject) for found in (moved.roll(-1), still))
        return {"floor": _hit_rate(floor), "no_motion": _hit_rate(no_motion)}


def _hit_rate(hits: Bool[Tensor, " N"]) -> float:
    return int(hits.sum()) / len(hits)
