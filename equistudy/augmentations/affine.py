"""Random affine maps, and shifts alone: each image is moved by its own element, in one interpolation."""

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.spec import Generator, Tensor

__all__ = ["RandomAffine", "RandomScaling", "RandomTranslation"]


@dataclass(frozen=True)
class RandomAffine(Augmentation):
    """Shears, rotates, scales and then shifts each image about its centre; bilinear, black beyond the border.

    The element is (degrees, dx, dy, log factor, shear), independent and uniform: degrees on [-max_degrees, max_degrees]
    counter-clockwise as displayed, dx and dy on [-max_pixels, max_pixels] to the right and down, the logarithm of the
    factor on [-log max_factor, log max_factor], so that halving is as likely as doubling, and shear on [-max_shear,
    max_shear] pixels to the right for each pixel below the centre. By default each of the four is switched off.

    torchvision's `RandomAffine` draws the factor itself uniformly, shears by an angle and shifts by whole pixels.

    >>> import equistudy as eq
    >>> eq.RandomAffine(max_degrees=10.0, max_pixels=2.0).num_parameters
    5
    """

    moves: ClassVar[bool | None] = True

    max_degrees: float = 0.0
    max_pixels: float = 0.0
    max_factor: float = 1.0
    max_shear: float = 0.0

    def __post_init__(self) -> None:
        lowest = {"max_degrees": 0, "max_pixels": 0, "max_factor": 1, "max_shear": 0}
        for name, least in lowest.items():
            _check_at_least(name, getattr(self, name), least)

    @property
    def num_parameters(self) -> int:
        """Five: degrees, dx, dy, log factor, shear."""
        return 5

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 5"]:
        """Each number uniform up to its largest."""
        import torch

        largest = (self.max_degrees, self.max_pixels, self.max_pixels, math.log(self.max_factor), self.max_shear)
        uniform = 2 * torch.rand(batch_size, 5, generator=rng, device=rng.device) - 1
        return uniform * torch.tensor(largest, device=rng.device)

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 5"]) -> Float[Tensor, "B C H W"]:
        """Each image moved by its own element."""
        import torch

        from equistudy.groups.resampling import rotation_matrices, warp

        degrees, dx, dy, log_factor, shear = elements.unbind(1)
        # warp takes maps from output to input: the inverses, in the opposite order
        turned = rotation_matrices(degrees)[:, :, :2]
        rows = turned[:, 0] - shear[:, None] * turned[:, 1], turned[:, 1]
        linear = torch.stack(rows, dim=1) * torch.exp(-log_factor)[:, None, None]
        offset = linear[:, :, 0] * dx[:, None] + linear[:, :, 1] * dy[:, None]
        return warp(images, torch.cat([linear, -offset[:, :, None]], dim=2))


@dataclass(frozen=True)
class RandomScaling(Augmentation):
    """Enlarges each image about its centre by its own factor, log-uniform on [1 / max_factor, max_factor].

    The element is the logarithm of the factor. Bilinear; shrunk images have a black margin.

    >>> import equistudy as eq
    >>> eq.RandomScaling(max_factor=1.25).num_parameters
    1
    """

    moves: ClassVar[bool | None] = True

    max_factor: float = 1.25

    def __post_init__(self) -> None:
        _check_at_least("max_factor", self.max_factor, 1)

    @property
    def num_parameters(self) -> int:
        """One: the logarithm of the factor."""
        return 1

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 1"]:
        """Uniform logarithms."""
        import torch

        return (2 * torch.rand(batch_size, 1, generator=rng, device=rng.device) - 1) * math.log(self.max_factor)

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 1"]) -> Float[Tensor, "B C H W"]:
        """Each image enlarged by its own factor."""
        import torch

        from equistudy.groups.resampling import warp

        identity = torch.eye(2, 3, device=elements.device, dtype=elements.dtype)
        return warp(images, torch.exp(-elements)[:, :, None] * identity)


def _check_at_least(name: str, value: float, least: int) -> None:
    if not least <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least {least} ({least} does nothing), got {name}={value}.")


@dataclass(frozen=True)
class RandomTranslation(Augmentation):
    """Shifts each image by its own (dx, dy) pixels, to the right and down, with black at the border left behind.

    Both are independently uniform on [-max_pixels, max_pixels]. Bilinear, so fractional shifts blur; `RandomCrop`
    shifts by whole pixels and never blurs.

    >>> import equistudy as eq
    >>> eq.RandomTranslation(max_pixels=2.0).num_parameters
    2
    """

    moves: ClassVar[bool | None] = True

    max_pixels: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.max_pixels < math.inf:
            raise ValueError(
                f"max_pixels must be finite and not negative, got max_pixels={self.max_pixels}. "
                f"Use about an eighth of the image's size."
            )

    @property
    def num_parameters(self) -> int:
        """Two: dx and dy."""
        return 2

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 2"]:
        """Uniform shifts in pixels."""
        import torch

        return (2 * torch.rand(batch_size, 2, generator=rng, device=rng.device) - 1) * self.max_pixels

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 2"]) -> Float[Tensor, "B C H W"]:
        """Each image moved by its own element."""
        from equistudy.groups.resampling import translation_matrices, warp

        return warp(images, translation_matrices(elements[:, 0], elements[:, 1]))
