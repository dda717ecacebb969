"""A dataset whose images are turned once, before training: each by its own angle."""

import dataclasses
import math
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, UInt8

from equistudy.datasets.dataset import Dataset, Examples, Modality, Split, Target
from equistudy.datasets.draws import draw_normals, draw_uniforms
from equistudy.spec import Tensor

__all__ = ["RotationTarget", "Turned"]

CHUNK_SIZE = 512  # images that are turned at once

Self = TypeVar("Self", bound="Turned")


class RotationTarget(Enum):
    """The target of a turned image: that of its dataset, or the angle in degrees."""

    OWN = "own"
    ANGLE = "angle"


@dataclass(frozen=True)
class Turned(Dataset):
    """`dataset` with every image turned about its centre by its own angle, uniform on [-max_degrees, max_degrees].

    With `std_degrees` the angle is normally distributed about 0 instead. Each image occurs `copies` times, with
    different angles. The images are then cropped to the central square of `crop` pixels: at 1 / sqrt 2 of the size no
    corner shows the angle. Beyond the border lies the dataset's background, or black. Labels of pixels turn with the
    image by nearest neighbour; void stays void, and so is what lies beyond the border.

    Turned(MNIST()) is the rotated MNIST of Benton et al. 2020, arXiv:2010.11882, Turned(Olivetti(), 90, copies=30,
    crop=45, asked=RotationTarget.ANGLE) their faces and Turned(CamVid(), std_degrees=57.3) their streets, whose labels
    their code interpolates.
    """

    dataset: Dataset
    max_degrees: float = 180.0
    std_degrees: float | None = None
    copies: int = 1
    crop: int | None = None
    asked: RotationTarget = RotationTarget.OWN

    def __post_init__(self) -> None:
        if self.dataset.modality is not Modality.IMAGES:
            raise ValueError(
                f"Turned turns images, got {self.dataset}, whose inputs are {self.dataset.modality.value}."
            )
        if not 0 <= self.max_degrees <= 180 or not 0 <= (self.std_degrees or 0) < math.inf:
            raise ValueError(
                f"max_degrees must lie in [0, 180] and std_degrees must not be negative, got max_degrees="
                f"{self.max_degrees}, std_degrees={self.std_degrees}. Use 180 for every angle."
            )
        if self.copies < 1 or not 1 <= (self.crop or 1) <= min(self.dataset.image_shape[1:]):
            raise ValueError(
                f"copies is at least 1 and crop fits into the image, got copies={self.copies}, crop={self.crop} for "
                f"{self.dataset.image_shape[1]} x {self.dataset.image_shape[2]} pixels. Use crop=None for all of it."
            )
        if self.asked is RotationTarget.ANGLE and not self.target_std:
            raise ValueError("Angles that are asked for must differ, got none but 0. Use max_degrees=90.")

    @property
    def target(self) -> Target:  # type: ignore[override]
        """That of the dataset, or a number."""
        return self.dataset.target if self.asked is RotationTarget.OWN else Target.NUMBERS

    @property
    def mean(self) -> tuple[float, ...]:  # type: ignore[override]
        """That of the dataset."""
        return self.dataset.mean

    @property
    def std(self) -> tuple[float, ...]:  # type: ignore[override]
        """That of the dataset."""
        return self.dataset.std

    @property
    def background(self) -> float | None:  # type: ignore[override]
        """That of the dataset; unknown where the image was cut out."""
        return self.dataset.background if self.crop is None else None

    @property
    def void(self) -> int | None:  # type: ignore[override]
        """That of the dataset; 255 where it has none, for what comes in."""
        return self.dataset.void if self.dataset.void is not None or self.target is not Target.LABELS else 255

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """That of the dataset."""
        return self.dataset.num_classes

    @property
    def has_labels(self) -> bool:
        """Angles are always known."""
        return self.asked is RotationTarget.ANGLE or self.dataset.has_labels

    @property
    def target_unit(self) -> str:  # type: ignore[override]
        """Degrees, if the angle is the target."""
        return self.dataset.target_unit if self.asked is RotationTarget.OWN else "deg"

    @property
    def target_std(self) -> float:  # type: ignore[override]
        """That of the angles, whose mean is 0."""
        if self.asked is RotationTarget.OWN:
            return self.dataset.target_std
        return self.max_degrees / math.sqrt(3) if self.std_degrees is None else self.std_degrees

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """That of the dataset, or the square that was cut out."""
        channels, height, width = self.dataset.image_shape
        return (channels, height, width) if self.crop is None else (channels, self.crop, self.crop)

    def with_absolute_paths(self: Self) -> Self:
        """The same of the dataset with absolute locations."""
        return dataclasses.replace(self, dataset=self.dataset.with_absolute_paths())

    def fingerprint(self) -> str:
        """That of the dataset: the angles follow from the fields and this code."""
        return self.dataset.fingerprint()

    def load(self, split: Split) -> Examples:
        """All images, copy by copy, and their targets."""
        import torch

        inputs, targets = self.dataset.load(split)
        degrees = torch.from_numpy(self._draw_angles(split, len(inputs) * self.copies))
        images, own = self._rotate_images(inputs, degrees), torch.cat([targets] * self.copies)
        if self.asked is RotationTarget.ANGLE:
            return Examples(images, degrees[:, None].float())
        return Examples(images, own if self.target is not Target.LABELS else self._rotate_labels(own, degrees))

    def _draw_angles(self, split: Split, count: int) -> Float64[np.ndarray, " N"]:
        seed = 2 + int(split is Split.TRAIN)
        if self.std_degrees is not None:
            return self.std_degrees * draw_normals(seed, count)
        return self.max_degrees * (2 * draw_uniforms(seed, count) - 1)

    def _rotate_images(
        self, images: UInt8[Tensor, "n C H W"], degrees: Float64[Tensor, " N"]
    ) -> UInt8[Tensor, "N C h w"]:
        import torch

        from equistudy.groups.affine import rotation_matrices, warp

        outside = 255 * (self.dataset.background or 0.0)
        parts = []
        for start in range(0, len(degrees), CHUNK_SIZE):
            angles = degrees[start : start + CHUNK_SIZE]
            which = torch.arange(start, start + len(angles)) % len(images)
            turned = warp(images[which].float() - outside, rotation_matrices(angles)) + outside
            parts.append(self._crop_centre(turned.round().clamp(0, 255).to(torch.uint8)))
        return torch.cat(parts)

    def _rotate_labels(self, labels: UInt8[Tensor, "N H W"], degrees: Float64[Tensor, " N"]) -> UInt8[Tensor, "N h w"]:
        from equistudy.groups.affine import rotation_matrices, warp_labels

        assert self.void is not None
        return self._crop_centre(warp_labels(labels, rotation_matrices(degrees), self.void))

    def _crop_centre(self, maps: Tensor) -> Tensor:
        if self.crop is None:
            return maps
        top, left = ((size - self.crop) // 2 for size in maps.shape[-2:])
        return maps[..., top : top + self.crop, left : left + self.crop].contiguous()
