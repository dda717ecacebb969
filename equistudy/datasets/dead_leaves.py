"""Synthetic images without labels: the dead leaves model, disks of all sizes that occlude each other."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from equistudy.datasets.dataset import Dataset, Examples, Split

__all__ = ["DeadLeaves"]

MEAN_LAYERS = 4.0  # mean number of disks per pixel in one round; rounds are repeated until every pixel is covered
BITS_TO_UNIT = 2.0**-53  # scales the upper 53 of 64 random bits to [0, 1)


class _Leaves(NamedTuple):
    """Disks from top to bottom: centres and radii in pixels."""

    x: Float64[np.ndarray, " L"]
    y: Float64[np.ndarray, " L"]
    radius: Float64[np.ndarray, " L"]


@dataclass(frozen=True)
class DeadLeaves(Dataset):
    """`test_images` images of `size` by `size` pixels covered by opaque disks, as fallen leaves cover the ground.

    Centres are uniform over the plane. Radii have density r^-3 between the two `radii`, which are fractions of the
    size, so that objects of every scale cover the same area. Colours are uniform and independent. Like natural images,
    these have edges, occlusion and nearly scale-invariant statistics; in addition they are stationary, with nothing
    centred.

    Two pixels at distance d show the same disk with probability c(d) / (2 c(0) - c(d)), where c(d) is the mean overlap
    of a disk with itself shifted by d; this is also the correlation of their colours.

    Every image depends only on `seed` and its own index, so that a smaller set is the start of a larger one. The
    numbers come from raw generator bits, additions, divisions and square roots, which round alike on every machine.
    There are no labels and no training split. `num_classes` is ImageNet's, so that a pretrained network keeps its
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
                "DeadLeaves needs at least 8 pixels, at least 1 image and a seed of at least 0, "
                f"got size={self.size}, test_images={self.test_images}, seed={self.seed}. Raise the value."
            )
        if len(self.radii) != 2 or not 0 < self.radii[0] < self.radii[1] <= 1 or self.radii[0] * self.size < 1 / 2:
            raise ValueError(
                f"radii must be an increasing pair of fractions of the size, of at least half a pixel, "
                f"got radii={self.radii} for size={self.size}. Use for example radii=({max(1 / 64, 1 / self.size):g}, "
                "0.25)."
            )

    @property
    def has_labels(self) -> bool:
        """False: there are no classes."""
        return False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Three channels of `size` by `size` pixels."""
        return 3, self.size, self.size

    def fingerprint(self) -> str:
        """A constant: the images are determined by the fields and this code."""
        return "generated"

    def load(self, split: Split) -> Examples:
        """The images, with every label -1. Raises ValueError for the training split."""
        import torch

        if split is not Split.TEST:
            raise ValueError(
                f"DeadLeaves has images to measure networks on but none for training, got {split}. "
                "Use Recipe(epochs=0), or a dataset with labels."
            )
        images = np.stack([self.render_image(number) for number in range(self.test_images)])
        return Examples(torch.from_numpy(images), torch.full((self.test_images,), -1))

    def render_image(self, number: int) -> UInt8[np.ndarray, "3 {self.size} {self.size}"]:
        """The image with index `number`."""
        bits = np.random.PCG64(np.random.SeedSequence([self.seed, number]))
        shown = np.full(self.size * self.size, -1, dtype=np.int32)  # the index of the disk at each pixel, or -1
        colours: list[UInt8[np.ndarray, "L 3"]] = []
        fallen = 0
        while (shown < 0).any():  # each round adds disks below those of the rounds before
            leaves = self._draw_leaves(bits)
            top = self._find_top_leaves(leaves)
            np.copyto(shown, top + fallen, where=(shown < 0) & (top >= 0))
            colours.append(bits.random_raw(len(leaves.x)).astype("<u8").view(np.uint8).reshape(-1, 8)[:, :3])
            fallen += len(leaves.x)
        palette = np.ascontiguousarray(np.concatenate(colours).T)
        return palette.take(shown, axis=1).reshape(self.image_shape)

    def _draw_leaves(self, bits: np.random.PCG64) -> _Leaves:
        """One round of disks, which cover each pixel `MEAN_LAYERS` times on average, without those that touch no pixel.

        Centres are uniform over the image extended by the largest radius, so that all disks of the plane that touch the
        image are equally likely. The radius inverts F(r) = (a^-2 - r^-2) / (a^-2 - b^-2).
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
        """The index of the top disk at each pixel in row-major order, or -1.

        A disk is one span of pixels in each row that it crosses. All spans are written in one pass, the top disk last.
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
    """The integers from `first` to `last` within [0, size) for each range: the index of the range, and the integer."""
    start = np.maximum(first, 0).astype(np.int32)
    lengths = np.maximum(np.minimum(last, size - 1).astype(np.int32) - start + 1, 0)
    owner = np.repeat(np.arange(len(start), dtype=np.int32), lengths)
    begins = np.cumsum(lengths, dtype=np.int32) - lengths
    return owner, np.arange(len(owner), dtype=np.int32) + (start - begins)[owner]
