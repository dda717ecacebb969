"""Random horizontal flip: each image mirrored left to right with a given probability."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.spec import Generator, Tensor

__all__ = ["HorizontalFlip"]


@dataclass(frozen=True)
class HorizontalFlip(Augmentation):
    """Mirrors each image left to right with `probability`. The element is 1 for mirrored and 0 for not; exact.

    >>> import torch, equistudy as eq
    >>> images = torch.tensor([[[[1.0, 2.0]]]])
    >>> eq.HorizontalFlip(probability=1.0).augment(images, torch.Generator())
    tensor([[[[2., 1.]]]])
    """

    moves: ClassVar[bool | None] = True

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(
                f"probability must lie in [0, 1], got probability={self.probability}. Use 0.5 to mirror half of them."
            )

    @property
    def num_parameters(self) -> int:
        """One: mirrored or not."""
        return 1

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 1"]:
        """1 with `probability`, else 0."""
        import torch

        return (torch.rand(batch_size, 1, generator=rng, device=rng.device) < self.probability).float()

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 1"]) -> Float[Tensor, "B C H W"]:
        """The images whose element is 1, mirrored."""
        mirrored, chosen = images.clone(), elements[:, 0] == 1
        mirrored[chosen] = images[chosen].flip(3)
        return mirrored
