"""Several augmentations, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float, Shaped

from equistudy.augmentations.augmentation import Augmentation
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.mixing import Mixing
from equistudy.datasets.dataset import Dataset
from equistudy.spec import Generator, Tensor

__all__ = ["Chain"]


@dataclass(frozen=True)
class Chain(Augmentation):
    """Applies the parts in the given order. An element is the concatenation of the parts' elements.

    >>> import equistudy as eq
    >>> eq.Chain((eq.HorizontalFlip(), eq.RandomCrop(padding=2))).num_parameters
    3
    """

    parts: tuple[Augmentation, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, tuple) or not all(isinstance(part, Augmentation) for part in self.parts):
            raise TypeError(
                f"Chain takes a tuple of augmentations, got parts={self.parts!r}. "
                f"Write Chain((HorizontalFlip(), RandomCrop()))."
            )
        if any(isinstance(part, LearnedAugmentation) for part in self.parts):
            raise TypeError(
                "A learned augmentation moves images inside the network, after all others, so it cannot be part of a "
                "Chain. Write LearnedAugmentation(before=Chain(...))."
            )
        if any(isinstance(part, Mixing) for part in self.parts):
            raise TypeError(
                "Mixup and CutMix act after all augmentations of single images, so they cannot be part of a Chain. "
                "Write Mixup(before=Chain(...))."
            )
        if not self.parts:
            raise ValueError("Chain needs at least one augmentation, got parts=(). Use NoAugmentation() for none.")

    @property
    def num_parameters(self) -> int:
        """Those of all parts together."""
        return sum(part.num_parameters for part in self.parts)

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B P"]:
        """The elements of each part, drawn in order."""
        import torch

        return torch.cat([part.draw(batch_size, rng) for part in self.parts], dim=1)

    @property
    def moves(self) -> bool | None:  # type: ignore[override]
        """Whether any part does; None if that is unknown for one of them."""
        known = [part.moves for part in self.parts]
        return None if None in known else any(known)

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each part in turn, with its own share of the elements."""
        return self.apply_on_background(images, elements, 0.0)

    def apply_on_background(
        self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"], background: float
    ) -> Float[Tensor, "B C H W"]:
        """As `apply`, each part with the background."""
        for part, own in self._split_elements(elements):
            images = part.apply_on_background(images, own, background)
        return images

    def apply_to_targets(
        self, targets: Shaped[Tensor, "B ..."], elements: Float[Tensor, "B P"], dataset: Dataset
    ) -> Shaped[Tensor, "B ..."]:
        """As `apply`."""
        for part, own in self._split_elements(elements):
            targets = part.apply_to_targets(targets, own, dataset)
        return targets

    def _split_elements(self, elements: Float[Tensor, "B P"]) -> Iterator[tuple[Augmentation, Float[Tensor, "B p"]]]:
        sizes = [part.num_parameters for part in self.parts]
        return zip(self.parts, elements.split(sizes, dim=1), strict=True)
