"""A dataset whose images are rotated once before training, each by its own angle."""

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

CHUNK_SIZE = 512  # images rotated at a time

Self = TypeVar("Self", bound="Turned")


class RotationTarget(Enum):
    """The target of a rotated image: that of its dataset, or the angle in degrees."""

    OWN = "own"
    ANGLE = "angle"


@dataclass(frozen=True)
class Turned(Dataset):
    """`dataset` with every image rotated about its centre by its own angle, uniform on [-max_degrees, max_degrees].

    With `std_degrees` the angle is normally distributed about 0 instead. Each image occurs `copies` times, with
    different angles. `crop` then keeps the central square of that many pixels; at 1 / sqrt 2 of the size or less, the
    corners do not reveal the angle. The dataset's background, or black, enters at the border. Label maps are rotated
    with the image by nearest neighbour; void stays void, and pixels from beyond the border become void.

    For Benton et al. 2020, arXiv:2010.11882, `Turned(MNIST())` is rotated MNIST, `Turned(Olivetti(), 90, copies=30,
    crop=45, asked=RotationTarget.ANGLE)` the faces, and `Turned(CamVid(), std_degrees=57.3)` the street scenes, whose
    label maps the authors' code interpolates.

    >>> import equistudy as eq
    >>> eq.Turned(eq.Digits(), 45.0).image_shape
    (1, 28, 28)
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
                f"Turned needs a dataset of images, got {self.dataset}, whose inputs are {self.dataset.modality.value}."
            )
        if not 0 <= self.max_degrees <= 180 or not 0 <= (self.std_degrees or 0) < math.inf:
            raise ValueError(
                f"max_degrees must lie in [0, 180] and std_degrees must not be negative, got max_degrees="
                f"{self.max_degrees}, std_degrees={self.std_degrees}. Use 180 for every angle."
            )
        if self.copies < 1 or not 1 <= (self.crop or 1) <= min(self.dataset.image_shape[1:]):
            raise ValueError(
                f"copies must be at least 1 and crop must fit in the image, got copies={self.copies}, crop={self.crop} "
                f"for {self.dataset.image_shape[1]} x {self.dataset.image_shape[2]} pixels. Use crop=None to keep all."
            )
        if self.asked is RotationTarget.ANGLE and not self.target_std:
            raise ValueError("Angles must vary to be a target, got max_degrees=0. Use for example max_degrees=90.")

    @property
    def target(self) -> Target:  # type: ignore[override]
        """The target of the dataset, or NUMBERS for the angle."""
        return self.dataset.target if self.asked is RotationTarget.OWN else Target.NUMBERS

    @property
    def mean(self) -> tuple[float, ...]:  # type: ignore[override]
        """The mean of the dataset."""
        return self.dataset.mean

    @property
    def std(self) -> tuple[float, ...]:  # type: ignore[override]
        """The standard deviation of the dataset."""
        return self.dataset.std

    @property
    def background(self) -> float | None:  # type: ignore[override]
        """The background of the dataset; None if images are cropped."""
        return self.dataset.background if self.crop is None else None

    @property
    def void(self) -> int | None:  # type: ignore[override]
        """The void label of the dataset, or 255 if it has none, for pixels from beyond the border."""
        return self.dataset.void if self.dataset.void is not None or self.target is not Target.LABELS else 255

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """The number of classes of the dataset."""
        return self.dataset.num_classes

    @property
    def has_labels(self) -> bool:
        """Whether the dataset has labels; always true for angles."""
        return self.asked is RotationTarget.ANGLE or self.dataset.has_labels

    @property
    def target_unit(self) -> str:  # type: ignore[override]
        """Degrees if the angle is the target."""
        return self.dataset.target_unit if self.asked is RotationTarget.OWN else "deg"

    @property
    def target_std(self) -> float:  # type: ignore[override]
        """The standard deviation of the angles, whose mean is 0."""
        if self.asked is RotationTarget.OWN:
            return self.dataset.target_std
        return self.max_degrees / math.sqrt(3) if self.std_degrees is None else self.std_degrees

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of the dataset's images, or of the central crop."""
        channels, height, width = self.dataset.image_shape
        return (channels, height, width) if self.crop is None else (channels, self.crop, self.crop)

    def with_absolute_paths(self: Self) -> Self:
        """The same for the dataset with absolute paths."""
        return dataclasses.replace(self, dataset=self.dataset.with_absolute_paths())

    def fingerprint(self) -> str:
        """The fingerprint of the dataset: the angles are determined by the fields and this code."""
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

        from equistudy.groups.resampling import rotation_matrices, warp

        outside = 255 * (self.dataset.background or 0.0)
        parts = []
        for start in range(0, len(degrees), CHUNK_SIZE):
            angles = degrees[start : start + CHUNK_SIZE]
            which = torch.arange(start, start + len(angles)) % len(images)
            turned = warp(images[which].float() - outside, rotation_matrices(angles)) + outside
            parts.append(self._crop_centre(turned.round().clamp(0, 255).to(torch.uint8)))
        return torch.cat(parts)

    def _rotate_labels(self, labels: UInt8[Tensor, "N H W"], degrees: Float64[Tensor, " N"]) -> UInt8[Tensor, "N h w"]:
        from equistudy.groups.resampling import rotation_matrices, warp_labels

        assert self.void is not None
        return self._crop_centre(warp_labels(labels, rotation_matrices(degrees), self.void))

    def _crop_centre(self, maps: Tensor) -> Tensor:
        if self.crop is None:
            return maps
        top, left = ((size - self.crop) // 2 for size in maps.shape[-2:])
        return maps[..., top : top + self.crop, left : left + self.crop].contiguous()
