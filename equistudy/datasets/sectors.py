"""Images of another dataset, turned into sectors of the circle: the invariance that the labels allow is known."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from jaxtyping import Int64

from equistudy.datasets.dataset import Dataset, Examples, Modality, Split, Target

__all__ = ["Sectors"]

BITS_TO_UNIT = 2.0**-53  # what the upper 53 of 64 random bits are multiplied with

Self = TypeVar("Self", bound="Sectors")


@dataclass(frozen=True)
class Sectors(Dataset):
    """`dataset` with each image turned into one of `sectors` sectors; the label is its class and the sector.

    Sector k turns by 360 k / sectors degrees plus an angle uniform on [-jitter, jitter], counter-clockwise, bilinearly;
    what comes in is the background, or black. Class c in sector k has the label k n + c, with n classes. Further turns
    by up to `extent` = 180 / sectors - jitter degrees cannot change the label, as long as no image looks like another
    one turned: of digits choose `classes` such as (3, 4, 7). Images are taken in turn, in their own order, until there
    are `train_size` and `test_size`, each time with another angle.

    Source: the construction is that of Mario and Iggy in Benton et al. 2020, arXiv:2010.11882, section 4.2.
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
            raise ValueError(f"Sectors turns images of classes, got {self.dataset}. Use a dataset such as Digits().")
        if self.sectors < 1 or not 0 <= self.jitter <= 180 / self.sectors:
            raise ValueError(
                f"Sectors must not overlap: jitter lies in [0, 180 / sectors], got sectors={self.sectors}, "
                f"jitter={self.jitter}. Use jitter={90 / max(self.sectors, 1):g} to fill half of each sector."
            )
        known = range(self.dataset.num_classes)
        if self.classes is not None and (not self.classes or not set(self.classes) <= set(known)):
            raise ValueError(f"classes are some of 0 to {len(known) - 1}, got {self.classes}. Use None for all.")
        if min(self.train_size, self.test_size) < self.num_classes:
            raise ValueError(
                f"There is an example of each of {self.num_classes} labels, got train_size={self.train_size}, "
                f"test_size={self.test_size}. Use at least {self.num_classes}."
            )

    @property
    def extent(self) -> float:
        """Half the range of further turns, in degrees, that no label contradicts; 180 where labels ignore the angle."""
        return 180.0 if self.sectors == 1 else 180 / self.sectors - self.jitter

    @property
    def turned_classes(self) -> tuple[int, ...]:
        """The classes that are turned."""
        return tuple(range(self.dataset.num_classes)) if self.classes is None else self.classes

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """Each class in each sector."""
        return len(self.turned_classes) * self.sectors

    @property
    def mean(self) -> tuple[float, ...]:  # type: ignore[override]
        """That of the dataset."""
        return self.dataset.mean

    @property
    def std(self) -> tuple[float, ...]:  # type: ignore[override]
        """That of the dataset."""
        return self.dataset.std

    @property
    def background(self) -> float | None:  # type: ignore[override]
        """That of the dataset."""
        return self.dataset.background

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """That of the dataset."""
        return self.dataset.image_shape

    def with_absolute_paths(self: Self) -> Self:
        """The same of the dataset with absolute locations."""
        return dataclasses.replace(self, dataset=self.dataset.with_absolute_paths())

    def fingerprint(self) -> str:
        """That of the dataset: the angles follow from the fields and this code."""
        return self.dataset.fingerprint()

    def load(self, split: Split) -> Examples:
        """The turned images and their labels. Smaller sets begin larger ones."""
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
        """Which image is turned: class after class, and each once in every sector before the next of its class."""
        members = [np.flatnonzero(targets == own) for own in self.turned_classes]
        rounds, places = np.divmod(np.arange(count) // self.sectors, len(members))
        return np.array(
            [members[place][turn % len(members[place])] for turn, place in zip(rounds, places, strict=True)]
        )
