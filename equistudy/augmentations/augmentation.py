"""What an augmentation is: it draws an element for each sample and lets it act."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float

from equistudy.datasets.dataset import Dataset, Modality
from equistudy.spec import Generator, Spec, Tensor

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

__all__ = ["Augmentation", "NoAugmentation"]


@dataclass(frozen=True)
class Augmentation(Spec):
    """Base of the augmentations: drawing and acting are apart, so that workers who share a batch draw the same.

    Images are floats in [0, 1]; what comes in from beyond the border is black. `inputs` are what it can move.
    """

    inputs: ClassVar[tuple[Modality, ...]] = (Modality.IMAGES,)

    def check(self, dataset: Dataset) -> None:
        """ValueError if it cannot move what the dataset holds."""
        if dataset.modality not in self.inputs:
            raise ValueError(
                f"{type(self).__name__} moves {' or '.join(kind.value for kind in self.inputs)}, got {dataset}, whose "
                f"inputs are {dataset.modality.value}. Use NoAugmentation(), or one that moves them."
            )

    @property
    def num_parameters(self) -> int:
        """How many numbers one element has."""
        raise NotImplementedError

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B P"]:
        """One random element for each sample, on the device of `rng`."""
        raise NotImplementedError

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each image transformed by its own element."""
        raise NotImplementedError

    def augment(self, images: Float[Tensor, "B C H W"], rng: Generator) -> Float[Tensor, "B C H W"]:
        """A randomly transformed batch, every sample by its own element."""
        return self.apply(images, self.draw(len(images), rng))

    def wrapped(self, network: Module, dataset: Dataset) -> Module:
        """The network that is trained: the given one, or one around it that learns what the augmentation draws."""
        return network

    def warning(self, dataset: Dataset) -> str | None:
        """What a user should know before training with it on the dataset; None where there is nothing to say."""
        return None


@dataclass(frozen=True)
class NoAugmentation(Augmentation):
    """Leaves every input as it is."""

    inputs: ClassVar[tuple[Modality, ...]] = tuple(Modality)

    @property
    def num_parameters(self) -> int:
        """None."""
        return 0

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B 0"]:
        """Empty elements; draws nothing."""
        import torch

        return torch.empty(batch_size, 0, device=rng.device)

    def apply(self, images: Float[Tensor, "B ..."], elements: Float[Tensor, "B 0"]) -> Float[Tensor, "B ..."]:
        """The inputs themselves."""
        return images
