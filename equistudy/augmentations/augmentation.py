"""What an augmentation is: it draws a random element for each sample and applies it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float, Shaped

from equistudy.datasets.dataset import Dataset, Modality, Target
from equistudy.spec import Generator, Spec, Tensor

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

__all__ = ["Augmentation", "NoAugmentation"]

IGNORED_LABEL = 255  # the label of what comes in from beyond the border, where the dataset has no void


@dataclass(frozen=True)
class Augmentation(Spec):
    """Base of the augmentations. Drawing is separate from applying, so that workers that share a batch draw the same.

    Images are floats in [0, 1]; what comes in from beyond the border is the dataset's background in training, and black
    otherwise. `inputs` lists what it can be applied to. `moves` says whether pixels change places, so that labels for
    pixels must follow; None if that is unknown.
    """

    inputs: ClassVar[tuple[Modality, ...]] = (Modality.IMAGES,)
    moves: ClassVar[bool | None] = None

    def check(self, dataset: Dataset) -> None:
        """ValueError if it cannot be applied to the dataset's inputs, or if the targets cannot follow."""
        if dataset.modality not in self.inputs:
            raise ValueError(
                f"{type(self).__name__} moves {' or '.join(kind.value for kind in self.inputs)}, got {dataset}, whose "
                f"inputs are {dataset.modality.value}. Use NoAugmentation(), or an augmentation of "
                f"{dataset.modality.value}."
            )
        if dataset.target is Target.LABELS and self.moves is None:
            raise ValueError(
                f"Labels for pixels must follow their pixels, got {dataset} and {type(self).__name__}, which does not "
                "say how pixels move. Use RandomRotation, HorizontalFlip, RandomCrop and the like, or a Chain of them."
            )

    @property
    def num_parameters(self) -> int:
        """The number of values in one element."""
        raise NotImplementedError

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B P"]:
        """One random element for each sample, on the device of `rng`."""
        raise NotImplementedError

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each image transformed by its own element."""
        raise NotImplementedError

    def apply_on_background(
        self, images: Float[Tensor, "B ..."], elements: Float[Tensor, "B P"], background: float
    ) -> Float[Tensor, "B ..."]:
        """As `apply`, but what comes in from beyond the border has the value `background` in place of black."""
        if not background or not self.moves:
            return self.apply(images, elements)
        return self.apply(images - background, elements) + background  # moving is linear

    def apply_to_targets(
        self, targets: Shaped[Tensor, "B ..."], elements: Float[Tensor, "B P"], dataset: Dataset
    ) -> Shaped[Tensor, "B ..."]:
        """The targets of the transformed images: labels for pixels follow their pixels, other targets stay.

        A pixel takes the label of the one nearest to where its content comes from, found by transforming an image of
        coordinates; what comes in from beyond the border is void.
        """
        if dataset.target is not Target.LABELS or not self.moves:
            return targets
        import torch

        B, H, W = targets.shape
        axes = ((torch.arange(size, device=targets.device) + 0.5) / size for size in (H, W))
        y, x = torch.meshgrid(*axes, indexing="ij")
        moved = self.apply(torch.stack([x, y, torch.ones_like(x)]).expand(B, -1, -1, -1), elements)
        inside = moved[:, 2] > 0.5
        columns, rows = ((place / moved[:, 2].clamp(min=0.5)).clamp(0, 1 - 1e-6) for place in moved[:, :2].unbind(1))
        found = (rows * H).long() * W + (columns * W).long()
        labels = targets.flatten(1).gather(1, found.flatten(1)).reshape(B, H, W)
        return torch.where(inside, labels, IGNORED_LABEL if dataset.void is None else dataset.void).to(targets.dtype)

    def augment(self, images: Float[Tensor, "B C H W"], rng: Generator) -> Float[Tensor, "B C H W"]:
        """A randomly transformed batch, each sample by its own element."""
        return self.apply(images, self.draw(len(images), rng))

    def wrap(
        self,
        network: Module,
        dataset: Dataset,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
    ) -> Module:
        """The network to train: the given one, or a wrapper that learns the distribution of the elements.

        `mean` and `std` are what its images are normalised with, None for the dataset's own.
        """
        return network

    def expected_extent(
        self, dataset: Dataset, label_smoothing: float = 0.0, error_scale: float | None = None
    ) -> float | None:
        """The half-extent in degrees that training should end with, or None where it is unknown.

        `error_scale` is the unit of a squared error in the unit of the targets: None for their standard deviation, as
        `Regression()` has it, infinite for other losses.
        """
        return None

    def describe_risk(
        self, dataset: Dataset, label_smoothing: float = 0.0, error_scale: float | None = None
    ) -> str | None:
        """What a user should know before training with it on the dataset; None where there is nothing to say."""
        return None


@dataclass(frozen=True)
class NoAugmentation(Augmentation):
    """Leaves every input as it is."""

    inputs: ClassVar[tuple[Modality, ...]] = tuple(Modality)
    moves: ClassVar[bool | None] = False

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
