"""Random action: moves each image by its own element of a group."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.groups.group import Group
from equistudy.spec import Generator, Tensor

__all__ = ["RandomAction"]


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
