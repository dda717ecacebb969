"""Random elements of finite groups: of any group, or a mirror image."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.groups.group import Group
from equistudy.spec import Generator, Tensor

__all__ = ["HorizontalFlip", "RandomAction"]


@dataclass(frozen=True)
class RandomAction(Augmentation):
    """Moves each image by a random element of the group, with black at the border left behind.

    The elements of a finite group, including the identity, are equally likely, and images are moved exactly:
    `RandomAction(CyclicGroup(4))` applies random quarter turns.

    >>> import torch, equistudy as eq
    >>> images = torch.ones(2, 1, 8, 8)
    >>> eq.RandomAction(eq.CyclicGroup(4)).augment(images, torch.Generator()).shape
    torch.Size([2, 1, 8, 8])
    """

    moves: ClassVar[bool | None] = True

    group: Group

    @property
    def num_parameters(self) -> int:
        """As many as an element of the group has."""
        return len(self.group.elements()[0].parameters)

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B P"]:
        """Elements as the group samples them."""
        return self.group.sample(batch_size, rng)

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each image moved by its own element."""
        return self.group.act(images, elements)


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
