"""Synthetic images without labels: disks of all sizes that hide each other, made where they are needed."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from equistudy.datasets.dataset import Dataset, Examples, Split

__all__ = ["DeadLeaves"]

MEAN_LAYERS = 4.0  # disks over each pixel, on average, that fall at once; more follow until no pixel is bare
BITS_TO_UNIT = 2.0**-53  # what the upper 53 of 64 random bits are multiplied with


class _Leaves(NamedTuple):
    """Disks in the order in which they lie, the top one first: centres and radii in pixels."""

    x: Float64[np.ndarray, " L"]
    y: Float64[np.ndarray, " L"]
    radius: Float64[np.ndarray, " L"]


@dataclass(frozen=True)
class DeadLeaves(Dataset):
    """`test_images` images of `size` by `size` pixels that opaque disks fill, as fallen leaves cover the ground.

    Centres are uniform over the plane and radii have the density r^-3 between the two `radii`, given as shares of the
    size, so that objects of every size fill the same area; colours are uniform and independent. A disk that fell
    earlier lies below. The statistics are those of natural images in what matters here (edges, occlusion, nearly equal
    at every scale), and the same at every position: nothing is centred.

    Two pixels d apart show the same disk with probability c(d) / (2 c(0) - c(d)), where c(d) is the mean area that a
    disk shares with itself moved by d; that is the correlation of their colours.

    Every image depends on `seed` and its own number alone, so fewer images are the first ones of more. The numbers come
    from the raw bits of a generator, additions, divisions and square roots, which every machine rounds alike. There are
    no labels and no training split. `num_classes` is that of ImageNet, so that a pretrained network keeps its
    classifier.

    Source: Lee, Mumford and Huang 2001, "Occlusion models for natural images". Differs: between two finite radii.
    """

    size: int = 256
    test_images: int = 64
    seed: int = 0
    radii: tuple[float, float] = (1 / 64, 1 / 4)

    num_classes: ClassVar[int] = 1000
    mean: ClassVar[tuple[float, ...]] = (0.5, 0.5, 0.5)
    std: ClassVar[tuple[float, ...]] = (0.29, 0.29, 0.29)

    def __post_init__(self) -> None:
        if self.size < 8 or self.test_images < 1 or self.seed < 0:
            raise ValueError(
                "DeadLeaves needs a size of at least 8 pixels, at least one image and no negative seed, "
                f"got size={self.size}, test_images={self.test_images}, seed={self.seed}."
            )
        if len(self.radii) != 2 or not 0 < self.radii[0] < self.radii[1] <= 1 or self.radii[0] * self.size < 1 / 2:
            raise ValueError(
                f"radii are the smallest and the largest share of the size, from half a pixel on, "
                f"got radii={self.radii} for size={self.size}. Use for example radii=({max(1 / 64, 1 / self.size):g}, "
                "0.25)."
            )

    @property
    def has_labels(self) -> bool:
        """There are no classes."""
        return False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Three channels of `size` by `size` pixels."""
        return 3, self.size, self.size

    def fingerprint(self) -> str:
        """The same for all: the images follow from the fields and this code."""
        return "generated"

    def load(self, split: Split) -> Examples:
        """The images, with -1 in place of each label; ValueError for the training split."""
        import torch

        if split is not Split.TEST:
            raise ValueError(
                f"DeadLeaves has images to measure networks with and none to train them on, got {split}. "
                "Use Recipe(epochs=0), or a dataset with labels."
            )
        images = np.stack([self.render_image(number) for number in range(self.test_images)])
        return Examples(torch.from_numpy(images), torch.full((self.test_images,), -1))

    def render_image(self, number: int) -> UInt8[np.ndarray, "3 {self.size} {self.size}"]:
        """The image of that number."""
        bits = np.random.PCG64(np.random.SeedSequence([self.seed, number]))
        shown = np.full(self.size * self.size, -1, dtype=np.int32)  # the number of the disk at each pixel, -1 for none
        colours: list[UInt8[np.ndarray, "L 3"]] = []
        fallen = 0
        while (shown < 0).any():  # what falls later in this loop lies lower
            leaves = self._draw_leaves(bits)
            top = self._find_top_leaves(leaves)
            np.copyto(shown, top + fallen, where=(shown < 0) & (top >= 0))
            colours.append(bits.random_raw(len(leaves.x)).astype("<u8").view(np.uint8).reshape(-1, 8)[:, :3])
            fallen += len(leaves.x)
        palette = np.ascontiguousarray(np.concatenate(colours).T)
        return palette.take(shown, axis=1).reshape(self.image_shape)

    def _draw_leaves(self, bits: np.random.PCG64) -> _Leaves:
        """As many disks as hide each pixel `MEAN_LAYERS` times on average; those that no pixel can show are left out.

        Centres are uniform over the image and a border of the largest radius, so that every disk of the plane that
        touches the image is as likely as any other. The radius inverts F(r) = (a^-2 - r^-2) / (a^-2 - b^-2).
        """
        smallest, largest = (share * self.size for share in self.radii)
        low, high = smallest**-2, largest**-2
        mean_square = 2 * np.log(largest / smallest) / (low - high)
        side = self.size - 1 + 2 * largest
        count = int(MEAN_LAYERS * side * side / (np.pi * mean_square)) + 1
        x, y, level = ((bits.random_raw(count) >> np.uint64(11)) * BITS_TO_UNIT for _ in range(3))
        leaves = _Leaves(x * side - largest, y * side - largest, 1 / np.sqrt(low - level * (low - high)))
        near = np.ones(count, dtype=bool)
        for centre in leaves[:2]:
            near &= (centre > -leaves.radius) & (centre < self.size - 1 + leaves.radius)
        return _Leaves(*(values[near] for values in leaves))

    def _find_top_leaves(self, leaves: _Leaves) -> Int32[np.ndarray, " P"]:
        """Which disk lies on top at each pixel, row by row; -1 where there is none.

        A disk is one span of pixels in each row that it crosses. All spans are written at once, the top disk last.
        """
        disk, row = _enumerate_ranges(np.ceil(leaves.y - leaves.radius), np.floor(leaves.y + leaves.radius), self.size)
        half = np.sqrt(np.maximum(leaves.radius[disk] ** 2 - (row - leaves.y[disk]) ** 2, 0))
        span, column = _enumerate_ranges(np.ceil(leaves.x[disk] - half), np.floor(leaves.x[disk] + half), self.size)
        top = np.full(self.size * self.size, -1, dtype=np.int32)
        top[(row[span] * self.size + column)[::-1]] = disk[span][::-1]
        return top


def _enumerate_ranges(
    first: Float64[np.ndarray, " R"], last: Float64[np.ndarray, " R"], size: int
) -> tuple[Int32[np.ndarray, " N"], Int32[np.ndarray, " N"]]:
    """The whole numbers from `first` to `last` that lie in [0, size), range by range: whose each is, and the number."""
    start = np.maximum(first, 0).astype(np.int32)
    lengths = np.maximum(np.minimum(last, size - 1).astype(np.int32) - start + 1, 0)
    owner = np.repeat(np.arange(len(start), dtype=np.int32), lengths)
    begins = np.cumsum(lengths, dtype=np.int32) - lengths
    return owner, np.arange(len(owner), dtype=np.int32) + (start - begins)[owner]
