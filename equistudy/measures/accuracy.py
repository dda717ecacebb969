"""Classification accuracy: of images as they are, and rotated by angles all around the circle."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from jaxtyping import Float, Int64

from equistudy.groups.affine_group import crop_central_square, inscribed_disk_mask
from equistudy.groups.finite import CyclicGroup
from equistudy.measuring.measure import Measure, Measurement, MeasuringResult, Skipped, Subject
from equistudy.spec import Tensor

__all__ = ["Accuracy", "AccuracyPerAngle", "Surround"]

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
        row = _build_share_row(self, stage, correct, images)
        return MeasuringResult([row], [])


def _build_share_row(
    measure: Measure,
    stage: str,
    correct: int,
    images: int,
    group: str | None = None,
    element: str | None = None,
    magnitude: float | None = None,
    **more: Any,
) -> Measurement:
    """The row of a share of the images at the network's output, with its Wilson interval."""
    from equistudy.measuring.intervals import wilson_interval

    low, high = wilson_interval(correct, images)
    return Measurement(
        measure=measure.name,
        measure_id=measure.id,
        revision=measure.REVISION,
        stage=stage,
        depth=1.0,
        stride=None,
        group=group,
        element=element,
        magnitude=magnitude,
        grid_aligned=None,
        value=correct / images,
        low=low,
        high=high,
        images=images,
        **more,
    )


QUARTERS = 4
REPEATED_CAVEAT = "the network is exact, so the value is that within the first quarter turn"


class Surround(Enum):
    """What fills the corners of a rotated image.

    BACKGROUND: the dataset's background value, or black if it has none. DISK: the same, and every view, including the
    unrotated one, is masked to the inscribed disk, so that corners reveal nothing about the angle. MEAN: the dataset's
    mean, which is 0 after normalisation: the published code rotates normalised images, so that rotated digits lie on
    black with grey corners. Use it only to compare with published numbers.
    """

    BACKGROUND = "background"
    DISK = "disk"
    MEAN = "mean"


@dataclass(frozen=True)
class AccuracyPerAngle(Measure):
    """The share of images classified correctly after a turn, at `num_angles` angles from 0 on: 1 is perfect.

    Images are rotated counter-clockwise about their centre before they are normalised: bilinearly by less than 90
    degrees, then by exact quarter turns. Images that are not square are cropped to their central square. Each value has
    a Wilson interval over the images. `no_motion` is the accuracy at 0 degrees, and `floor` the accuracy when labels
    are shuffled. The mean over the rows is the mean over all angles, including 0 degrees.

    If an audit finds the network exactly invariant to quarter turns at this image size, its curve repeats every 90
    degrees: only the first quarter is measured, and the notes of the other rows say so.

    Source: Edixhoven, Lengyel and van Gemert 2023, arXiv:2308.11316, with 36 angles. Their notebook gives the value at
    0 degrees for what it calls the mean over the angles.
    """

    num_angles: int = 36
    surround: Surround = Surround.BACKGROUND

    name: ClassVar[str] = "accuracy_per_angle"
    title: ClassVar[str] = "Accuracy on turned images"
    share: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.num_angles < QUARTERS or self.num_angles % QUARTERS:
            below = max(self.num_angles // QUARTERS, 1) * QUARTERS
            raise ValueError(
                f"num_angles must be a multiple of 4, so that quarter turns are among the angles, got "
                f"num_angles={self.num_angles}. Nearest: {below}, {below + QUARTERS}."
            )

    @property
    def degrees(self) -> tuple[float, ...]:
        """The angles, from 0 on."""
        return tuple(360 * index / self.num_angles for index in range(self.num_angles))

    def measure(self, subject: Subject) -> MeasuringResult:
        """One row for each angle, or none for images without labels."""
        stage = subject.output
        if subject.targets is None:
            return MeasuringResult([], [Skipped(self.name, stage, None, "the images have no labels")])
        periodic = subject.invariant is not None and subject.invariant(CyclicGroup(QUARTERS))
        predictions = self._predict_classes(subject, 1 if periodic else QUARTERS)
        rows = []
        for index, degrees in enumerate(self.degrees):
            counted = index % len(predictions)
            note = None if counted == index else REPEATED_CAVEAT
            rows.append(self._build_row(subject, stage, degrees, (predictions[0], predictions[counted]), note))
        return MeasuringResult(rows, [])

    def _predict_classes(self, subject: Subject, quarters: int) -> list[Int64[Tensor, " N"]]:
        """The predicted class of each image at each angle of the first quarter turns."""
        import torch

        from equistudy.measuring.stages import evaluation_mode, prepare_images

        found: list[list[Tensor]] = [[] for _ in range(self.num_angles // QUARTERS * quarters)]
        with evaluation_mode(subject.network):
            for start in range(0, len(subject.images), FORWARD_SIZE):
                batch = subject.images[start : start + FORWARD_SIZE]
                for index, view in self._generate_views(batch, subject, quarters):
                    outputs = subject.network(prepare_images(view, subject, subject.network))
                    found[index].append(outputs.argmax(dim=1).cpu())
        return [torch.cat(parts) for parts in found]

    def _generate_views(
        self, images: Float[Tensor, "B C H W"], subject: Subject, quarters: int
    ) -> Iterator[tuple[int, Float[Tensor, "B C h h"]]]:
        """The turned images with the position of their angle."""
        import torch

        from equistudy.groups.resampling import rotation_matrices, warp

        images, step = crop_central_square(images), self.num_angles // QUARTERS
        around = (subject.background or 0.0,) if self.surround is not Surround.MEAN else subject.mean
        outside = images.new_tensor(around)[:, None, None]
        for index in range(step):
            angle = images.new_tensor([self.degrees[index]], dtype=torch.float64)
            matrices = rotation_matrices(angle).expand(len(images), 2, 3)
            turned = warp(images - outside, matrices) + outside if index else images
            if self.surround is Surround.DISK:
                turned = torch.where(inscribed_disk_mask(images), turned, outside)
            for quarter in range(quarters):
                yield index + quarter * step, torch.rot90(turned, quarter, dims=(2, 3))

    def _build_row(
        self,
        subject: Subject,
        stage: str,
        degrees: float,
        predictions: tuple[Int64[Tensor, " N"], Int64[Tensor, " N"]],
        note: str | None,
    ) -> Measurement:
        """The row of an angle, from the predictions at 0 degrees and at this angle."""
        assert subject.targets is not None
        targets, images = subject.targets.cpu(), len(subject.images)
        still, correct, floor = (
            int((found == targets).sum()) for found in (predictions[0], predictions[1], predictions[1].roll(-1))
        )
        return _build_share_row(
            self,
            stage,
            correct,
            images,
            group="Rotation",
            element=f"{degrees:g} deg",
            magnitude=degrees,
            floor=floor / images,
            no_motion=still / images,
            note=note,
        )
