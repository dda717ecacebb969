"""Images of another dataset rotated into sectors of the circle, so that the invariance of the labels is known."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from jaxtyping import Int64

from equistudy.datasets.dataset import Dataset, Examples, Modality, Split, Target

__all__ = ["Sectors"]

BITS_TO_UNIT = 2.0**-53  # scales the upper 53 of 64 random bits to [0, 1)

Self = TypeVar("Self", bound="Sectors")


@dataclass(frozen=True)
class Sectors(Dataset):
    """`dataset` with each image rotated into one of `sectors` sectors; the label combines its class and the sector.

    In sector k an image is rotated counter-clockwise by 360 k / sectors degrees plus an angle uniform on [-jitter,
    jitter]. The rotation is bilinear, and the background, or black, enters at the border. With n classes, class c in
    sector k has the label k n + c. Further rotations by up to `extent` = 180 / sectors - jitter degrees preserve the
    label, provided that no image looks like a rotated image of another class: of digits, choose `classes` such as
    (3, 4, 7). Images are used in order, and again with other angles, until there are `train_size` and `test_size`.

    Source: the construction is that of Mario and Iggy in Benton et al. 2020, arXiv:2010.11882, section 4.2.

    >>> import equistudy as eq
    >>> eq.Sectors(eq.Digits(), sectors=2, jitter=45.0, classes=(3, 4, 7)).extent
    45.0
    """

    disjoint: ClassVar[bool] = False

    dataset: Dataset
    sectors: int = 2
    jitter: float = 45.0
    classes: tuple[int, ...] | None = None
    train_size: int = 10_000
    test_size: int = 5_000

    def __post_init__(self) -> None:
        if self.dataset.modality is not Modality.IMAGES or self.dataset.target is not Target.CLASS:
            raise ValueError(f"Sectors needs images with classes, got {self.dataset}. Use a dataset such as Digits().")
        if self.sectors < 1 or not 0 <= self.jitter <= 180 / self.sectors:
            raise ValueError(
                f"jitter must lie in [0, 180 / sectors], so that sectors do not overlap, got sectors={self.sectors}, "
                f"jitter={self.jitter}. Use jitter={90 / max(self.sectors, 1):g} to fill half of each sector."
            )
        known = range(self.dataset.num_classes)
        if self.classes is not None and (not self.classes or not set(self.classes) <= set(known)):
            raise ValueError(f"classes must lie in 0 to {len(known) - 1}, got {self.classes}. Use None for all.")
        if min(self.train_size, self.test_size) < self.num_classes:
            raise ValueError(
                f"Each of the {self.num_classes} labels needs an example, got train_size={self.train_size}, "
                f"test_size={self.test_size}. Use at least {self.num_classes}."
            )

    @property
    def extent(self) -> float:
        """The largest further rotation, in degrees, that preserves all labels; 180 if labels ignore the angle."""
        return 180.0 if self.sectors == 1 else 180 / self.sectors - self.jitter

    @property
    def turned_classes(self) -> tuple[int, ...]:
        """The classes of the dataset that are used."""
        return tuple(range(self.dataset.num_classes)) if self.classes is None else self.classes

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """The number of pairs of a class and a sector."""
        return len(self.turned_classes) * self.sectors

    @property
    def mean(self) -> tuple[float, ...]:  # type: ignore[override]
        """The mean of the dataset."""
        return self.dataset.mean

    @property
    def std(self) -> tuple[float, ...]:  # type: ignore[override]
        """The standard deviation of the dataset."""
        return self.dataset.std

    @property
    def background(self) -> float | None:  # type: ignore[override]
        """The background of the dataset."""
        return self.dataset.background

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of the dataset's images."""
        return self.dataset.image_shape

    def with_absolute_paths(self: Self) -> Self:
        """The same for the dataset with absolute paths."""
        return dataclasses.replace(self, dataset=self.dataset.with_absolute_paths())

    def fingerprint(self) -> str:
        """The fingerprint of the dataset: the angles are determined by the fields and this code."""
        return self.dataset.fingerprint()

    def load(self, split: Split) -> Examples:
        """The rotated images and their labels. A smaller set is the start of a larger one."""
        import torch
        from scipy.ndimage import rotate

        count = self.train_size if split is Split.TRAIN else self.test_size
        images, targets = self.dataset.load(split)
        taken, sectors = self._order_images(targets.numpy(), count), np.arange(count) % self.sectors
        bits = np.random.PCG64(int(split is Split.TRAIN)).random_raw(count)
        jitters = (2 * (bits >> np.uint64(11)) * BITS_TO_UNIT - 1) * self.jitter
        degrees = jitters + 360 / self.sectors * sectors
        outside = 255 * (self.background or 0.0)
        turned = np.empty((count, *self.image_shape), dtype=np.uint8)
        for index, (which, angle) in enumerate(zip(taken.tolist(), degrees.tolist(), strict=True)):
            image = images[which].numpy().astype(np.float32)
            moved = rotate(image, angle, axes=(2, 1), reshape=False, order=1, mode="constant", cval=outside)
            turned[index] = np.clip(np.rint(moved), 0, 255)
        places = {own: place for place, own in enumerate(self.turned_classes)}
        labels = [places[int(targets[index])] + len(places) * int(k) for index, k in zip(taken, sectors, strict=True)]
        return Examples(torch.from_numpy(turned), torch.tensor(labels))

    def _order_images(self, targets: Int64[np.ndarray, " M"], count: int) -> Int64[np.ndarray, " N"]:
        """The source image of each example: classes alternate, and an image visits every sector before the next."""
        members = [np.flatnonzero(targets == own) for own in self.turned_classes]
        rounds, places = np.divmod(np.arange(count) // self.sectors, len(members))
        return np.array(
            [members[place][turn % len(members[place])] for turn, place in zip(rounds, places, strict=True)]
        )
