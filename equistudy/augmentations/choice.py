"""A policy: applies augmentations to each image that are drawn at random from several."""

from dataclasses import dataclass

from jaxtyping import Float

from equistudy.augmentations.augmentation import Augmentation
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.mixing import Mixing
from equistudy.spec import Generator, Tensor

__all__ = ["RandomChoice"]


@dataclass(frozen=True)
class RandomChoice(Augmentation):
    """Applies one of the `parts` to each image, all equally likely, and repeats this `rounds` times.

    A round's element is the index of the part followed by the elements that every part drew. Include
    `NoAugmentation()` to leave some images as they are.

    In `RandAugment` all operations share one fixed strength; here each part draws from its own range.

    >>> import equistudy as eq
    >>> eq.RandomChoice((eq.RandomRotation(30.0), eq.Cutout(4))).num_parameters
    8
    """

    parts: tuple[Augmentation, ...]
    rounds: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.parts, tuple) or not all(isinstance(part, Augmentation) for part in self.parts):
            raise TypeError(
                f"RandomChoice takes a tuple of augmentations, got parts={self.parts!r}. "
                f"Write RandomChoice((RandomRotation(), Cutout()))."
            )
        if any(isinstance(part, (LearnedAugmentation, Mixing)) for part in self.parts):
            raise TypeError(
                f"RandomChoice chooses among augmentations of single images, got parts={self.parts!r}. "
                f"Write Mixup(before=RandomChoice(...))."
            )
        if len(self.parts) < 2 or self.rounds < 1:
            raise ValueError(
                f"RandomChoice needs at least two parts and one round, got {len(self.parts)} parts and "
                f"rounds={self.rounds}. Use Chain to apply each part to every image."
            )

    @property
    def num_parameters(self) -> int:
        """For each round, one for the part and those of all parts together."""
        return self.rounds * (1 + sum(part.num_parameters for part in self.parts))

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B P"]:
        """For each round the index of the part and the elements of all parts."""
        import torch

        columns = []
        for _ in range(self.rounds):
            chosen = torch.randint(len(self.parts), (batch_size, 1), generator=rng, device=rng.device)
            columns += [chosen.float(), *(part.draw(batch_size, rng) for part in self.parts)]
        return torch.cat(columns, dim=1)

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each image through its own parts in turn."""
        return self.apply_on_background(images, elements, 0.0)

    def apply_on_background(
        self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"], background: float
    ) -> Float[Tensor, "B C H W"]:
        """As `apply`, each part with the background."""
        sizes = [1, *(part.num_parameters for part in self.parts)] * self.rounds
        columns = iter(elements.split(sizes, dim=1))
        for _ in range(self.rounds):
            chosen, images = next(columns)[:, 0], images.clone()
            for index, part in enumerate(self.parts):
                own, here = next(columns), chosen == index
                images[here] = part.apply_on_background(images[here], own[here], background)
        return images
