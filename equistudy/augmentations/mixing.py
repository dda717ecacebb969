"""Mixup and CutMix: mix each image, and its target, with another one of the batch."""

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float, Int64

from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.datasets.dataset import Dataset, Target
from equistudy.spec import Generator, Tensor

__all__ = ["CutMix", "Mixing", "Mixup"]


@dataclass(frozen=True)
class Mixing(Augmentation):
    """Base of the augmentations that mix each image with a partner from the same batch.

    Partners are a random permutation of the batch. Each image draws its own weight from Beta(alpha, alpha): the weight
    of its own target in the loss, the rest being its partner's. `before` acts first, on every image separately: `apply`
    does only that, and `mix` the rest, because the partner may be on another worker.

    The published implementations draw one weight for each batch.
    """

    moves: ClassVar[bool | None] = False  # labels for pixels are refused below

    alpha: float = 1.0
    before: Augmentation = NoAugmentation()  # noqa: RUF009 -- frozen

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf:
            raise ValueError(f"alpha must be positive and finite, got alpha={self.alpha}. Use 1 for uniform weights.")
        if isinstance(self.before, (Mixing, LearnedAugmentation)):
            raise TypeError(
                f"Before {type(self).__name__}, images are augmented one by one, got before={self.before}. Use a fixed "
                f"augmentation such as RandomCrop()."
            )

    def check(self, dataset: Dataset) -> None:
        """ValueError unless the targets are classes, whose probabilities can be mixed."""
        super().check(dataset)
        self.before.check(dataset)
        if dataset.target is not Target.CLASS:
            raise ValueError(
                f"{type(self).__name__} mixes the probabilities of classes, got {dataset}, whose targets are "
                f"{dataset.target.value}. Use another augmentation."
            )

    @property
    def num_parameters(self) -> int:
        """Those of `before`, and four: the partner's index in the batch, the weight, x and y."""
        return self.before.num_parameters + 4

    def draw(self, batch_size: int, rng: Generator) -> Float[Tensor, "B P"]:
        """The elements of `before`, a permutation, Beta-distributed weights and uniform positions."""
        import torch

        before = self.before.draw(batch_size, rng)
        partners = torch.randperm(batch_size, generator=rng, device=rng.device)
        shape = torch.full((batch_size, 2), self.alpha, device=rng.device, dtype=torch.float64)
        gammas = torch._standard_gamma(shape, generator=rng)  # the one sampler of torch that takes a generator
        weights = gammas[:, 0] / gammas.sum(dim=1).clamp(min=1e-300)
        places = torch.rand(batch_size, 2, generator=rng, device=rng.device)
        return torch.cat([before, partners[:, None], weights[:, None], places], dim=1).float()

    def partners(self, elements: Float[Tensor, "B P"]) -> Int64[Tensor, " B"]:
        """The index in the whole batch of each image's partner."""
        return elements[:, -4].long()

    def apply(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """What `before` does."""
        return self.before.apply(images, elements[:, :-4])

    def apply_on_background(
        self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"], background: float
    ) -> Float[Tensor, "B C H W"]:
        """What `before` does, with the background."""
        return self.before.apply_on_background(images, elements[:, :-4], background)

    def augment(self, images: Float[Tensor, "B C H W"], rng: Generator) -> Float[Tensor, "B C H W"]:
        """A whole batch, augmented and mixed."""
        elements = self.draw(len(images), rng)
        moved = self.apply(images, elements)
        return self.mix(moved, moved[self.partners(elements)], elements)

    def mix(
        self, images: Float[Tensor, "B C H W"], partners: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]
    ) -> Float[Tensor, "B C H W"]:
        """Each image mixed with its partner."""
        raise NotImplementedError

    def target_weights(self, elements: Float[Tensor, "B P"], shape: tuple[int, int]) -> Float[Tensor, " B"]:
        """The share of each image's own target, for images of this height and width."""
        raise NotImplementedError


@dataclass(frozen=True)
class Mixup(Mixing):
    """Takes the weighted mean of each image and its partner.

    Source: Zhang et al. 2018, arXiv:1710.09412.

    >>> import equistudy as eq
    >>> eq.Mixup(alpha=1.0).num_parameters
    4
    """

    def mix(
        self, images: Float[Tensor, "B C H W"], partners: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]
    ) -> Float[Tensor, "B C H W"]:
        """The image times its weight, plus the partner times the rest."""
        weights = elements[:, -3, None, None, None].to(images.dtype)
        return weights * images + (1 - weights) * partners

    def target_weights(self, elements: Float[Tensor, "B P"], shape: tuple[int, int]) -> Float[Tensor, " B"]:
        """As drawn."""
        return elements[:, -3]


@dataclass(frozen=True)
class CutMix(Mixing):
    """Replaces a rectangle of each image by the same rectangle of its partner.

    The rectangle has the image's aspect ratio and 1 - weight of its area, is centred on a random pixel, and is clipped
    at the border. The weight of the image's target is the fraction of pixels that remain its own.

    Source: Yun et al. 2019, arXiv:1905.04899.

    >>> import equistudy as eq
    >>> eq.CutMix(alpha=1.0).num_parameters
    4
    """

    def mix(
        self, images: Float[Tensor, "B C H W"], partners: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]
    ) -> Float[Tensor, "B C H W"]:
        """The partner inside the rectangle, the image elsewhere."""
        import torch

        height, width = images.shape[-2:]
        rows, columns = self._compute_cut_mask(elements, -1, height), self._compute_cut_mask(elements, -2, width)
        return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], partners, images)

    def target_weights(self, elements: Float[Tensor, "B P"], shape: tuple[int, int]) -> Float[Tensor, " B"]:
        """The share of pixels outside the rectangle."""
        height, width = shape
        covered = self._compute_cut_mask(elements, -1, height).sum(dim=1) * self._compute_cut_mask(
            elements, -2, width
        ).sum(dim=1)
        return 1 - covered / (height * width)

    def _compute_cut_mask(self, elements: Float[Tensor, "B P"], place: int, size: int) -> Bool[Tensor, "B S"]:
        """Which pixels of an axis the rectangle covers."""
        import torch

        length = ((1 - elements[:, -3]).clamp(min=0).sqrt() * size).floor()
        start = (elements[:, place] * size).floor() - (length / 2).floor()
        pixels = torch.arange(size, device=elements.device)
        return (pixels >= start[:, None]) & (pixels < (start + length)[:, None])
