"""Random translation: shifts each image by a random, possibly fractional, number of pixels."""

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.spec import Generator, Tensor

__all__ = ["RandomTranslation"]


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
        from equistudy.groups.affine import translation_matrices, warp

        return warp(images, translation_matrices(elements[:, 0], elements[:, 1]))
