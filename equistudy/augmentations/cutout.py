"""Cutout: blacks out a square of each image at a random position."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.spec import Generator, Tensor

__all__ = ["Cutout"]


@dataclass(frozen=True)
class Cutout(Augmentation):
    """Blacks out a square of `size` x `size` pixels centred on a random pixel of the image, all equally likely.

    Squares are clipped at the border. The element is the centre (x, y) as fractions of the image's width and height.

    Source: DeVries and Taylor 2017, arXiv:1708.04552, who use 16 pixels for CIFAR-10 and cut after normalisation, so
    that their squares are grey.

    >>> import torch, equistudy as eq
    >>> images = torch.ones(1, 1, 8, 8)
    >>> bool(eq.Cutout(4).augment(images, torch.Generator()).mean() < 1)
    True
    """

    moves: ClassVar[bool | None] = False

    size: int = 8

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1 pixel, got size={self.size}. Use a quarter of the image.")

    @property
    def num_parameters(self) -> int:
        """Two: x and y."""
        return 2

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 2"]:
        """Uniform on [0, 1)."""
        import torch

        return torch.rand(batch_size, 2, generator=rng, device=rng.device)

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 2"]) -> Float[Tensor, "B C H W"]:
        """The images with their squares blacked out."""
        import torch

        height, width = images.shape[-2:]

        def covered(place: Float[Tensor, " B"], size: int) -> Bool[Tensor, "B S"]:
            start = (place * size).floor() - self.size // 2
            pixels = torch.arange(size, device=place.device)
            return (pixels >= start[:, None]) & (pixels < start[:, None] + self.size)

        square = covered(elements[:, 1], height)[:, None, :, None] & covered(elements[:, 0], width)[:, None, None, :]
        return images.masked_fill(square, 0.0)
