"""Classification accuracy."""

from dataclasses import dataclass
from typing import ClassVar

from equistudy.measuring.measure import Measure, Measurement, MeasuringResult, Skipped, Subject

__all__ = ["Accuracy"]

FORWARD_SIZE = 128


@dataclass(frozen=True)
class Accuracy(Measure):
    """The fraction of images whose largest output is that of their class: 1 is perfect.

    `low` and `high` are a Wilson interval over the images. The stage is the network's output.
    """

    name: ClassVar[str] = "accuracy"
    title: ClassVar[str] = "Accuracy"
    share: ClassVar[bool] = True

    def measure(self, subject: Subject) -> MeasuringResult:
        """One row, or none for images without labels."""
        from equistudy.measuring.intervals import wilson_interval
        from equistudy.measuring.stages import evaluation_mode, prepare_images

        stage = subject.output
        if subject.targets is None:
            return MeasuringResult([], [Skipped(self.name, stage, None, "the images have no labels")])
        images, correct = len(subject.images), 0
        with evaluation_mode(subject.network):
            for start in range(0, images, FORWARD_SIZE):
                batch = subject.images[start : start + FORWARD_SIZE]
                predicted = subject.network(prepare_images(batch, subject, subject.network)).argmax(dim=1)
                targets = subject.targets[start : start + FORWARD_SIZE].to(predicted.device)
                correct += int((predicted == targets).sum())
        low, high = wilson_interval(correct, images)
        row = Measurement(
            measure=self.name,
            measure_id=self.id,
            revision=self.REVISION,
            stage=stage,
            depth=1.0,
            stride=None,
            group=None,
            element=None,
            magnitude=None,
            grid_aligned=None,
            value=correct / images,
            low=low,
            high=high,
            images=images,
        )
        return MeasuringResult([row], [])
