"""Random rotations of each image about its centre, and the disk that they map to itself."""

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.groups.affine_group import crop_central_square, inscribed_disk_mask
from equistudy.spec import Generator, Tensor

__all__ = ["InscribedDisk", "NormalRotation", "RandomRotation"]


@dataclass(frozen=True)
class RotationAugmentation(Augmentation):
    """Base of the rotations, which differ in the distribution of the angle.

    Positive is counter-clockwise as displayed; bilinear, black beyond the border.
    """

    moves: ClassVar[bool | None] = True

    @property
    def num_parameters(self) -> int:
        """One: the angle in degrees."""
        return 1

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 1"]) -> Float[Tensor, "B C H W"]:
        """Each image rotated by its own angle."""
        from equistudy.groups.resampling import rotation_matrices, warp

        return warp(images, rotation_matrices(elements[:, 0]))


@dataclass(frozen=True)
class RandomRotation(RotationAugmentation):
    """Rotates each image by its own angle, uniform on [-max_degrees, max_degrees]. 180 degrees gives every angle.

    >>> import torch, equistudy as eq
    >>> images = torch.ones(2, 1, 8, 8)
    >>> eq.RandomRotation(30.0).augment(images, torch.Generator()).shape
    torch.Size([2, 1, 8, 8])
    """

    max_degrees: float = 15.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_degrees <= 180:
            raise ValueError(
                f"max_degrees must lie in [0, 180], got max_degrees={self.max_degrees}. Use 180 for every angle."
            )

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 1"]:
        """Uniform angles in degrees."""
        import torch

        return (2 * torch.rand(batch_size, 1, generator=rng, device=rng.device) - 1) * self.max_degrees


@dataclass(frozen=True)
class NormalRotation(RotationAugmentation):
    """Rotates each image by its own angle, normal with the given mean and standard deviation.

    Source: the biased orientations of Edixhoven, Lengyel and van Gemert 2023, arXiv:2308.11316, with mean 45 and
    standard deviation 20 or 40 degrees. Their published code draws one angle for each batch; here each image draws
    its own.

    >>> import equistudy as eq
    >>> eq.NormalRotation(45, 20).num_parameters
    1
    """

    mean_degrees: float = 45.0
    std_degrees: float = 20.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean_degrees) or not 0 <= self.std_degrees < math.inf:
            raise ValueError(
                f"A normal distribution has a finite mean and a finite standard deviation that is not negative, got "
                f"mean_degrees={self.mean_degrees}, std_degrees={self.std_degrees}. Use 45 and 20 degrees."
            )

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 1"]:
        """Normal angles in degrees."""
        import torch

        return self.mean_degrees + self.std_degrees * torch.randn(batch_size, 1, generator=rng, device=rng.device)


@dataclass(frozen=True)
class InscribedDisk(Augmentation):
    """Blacks out everything outside the inscribed disk, so that corners do not reveal a rotation. Nothing is random.

    For training alongside `AccuracyPerAngle(surround=Surround.DISK)`, which tests on such images. Put it after
    rotations in a `Chain`. A pixel belongs to the disk if its centre does, as there.

    >>> import torch, equistudy as eq
    >>> images = torch.ones(1, 1, 4, 4)
    >>> eq.InscribedDisk().augment(images, torch.Generator())[0, 0, 0]
    tensor([0., 0., 0., 0.])
    """

    @property
    def num_parameters(self) -> int:
        """None."""
        return 0

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 0"]:
        """Empty elements; draws nothing."""
        import torch

        return torch.empty(batch_size, 0, device=rng.device)

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 0"]) -> Float[Tensor, "B C H W"]:
        """The masked images; oblong ones keep the disk within their central square."""
        import torch

        disk = inscribed_disk_mask(crop_central_square(images))
        height, width = images.shape[-2:]
        top, left = (height - len(disk)) // 2, (width - len(disk)) // 2
        inside = torch.zeros(height, width, dtype=torch.bool, device=images.device)
        inside[top : top + len(disk), left : left + len(disk)] = disk
        return torch.where(inside, images, 0.0)
