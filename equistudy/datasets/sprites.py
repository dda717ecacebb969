"""Two rotated sprites whose labels contain the sector of rotation, so that the invariance of the labels is known."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float64, UInt8

from equistudy.datasets.array_files import read_npz, require_numbers
from equistudy.datasets.arrays import DecodedArrays
from equistudy.datasets.dataset import Dataset, Examples, Split
from equistudy.datasets.draws import draw_uniforms
from equistudy.datasets.folder import FileLayout, FolderDataset

__all__ = ["MarioIggy", "Sprites"]

Plane = Float64[np.ndarray, "#N #H #W"]
EDGE_PIXELS = 1.5  # width of the edge from black to white: smooth, so that rotating blurs little


@dataclass(frozen=True)
class Sprites(Dataset):
    """A mushroom and a letter L of `size` by `size` pixels, white on black, each rotated into one of `sectors` sectors.

    In sector k a sprite is rotated by 360 k / sectors degrees plus an angle uniform on [-jitter, jitter]. The label
    combines sprite and sector, so that with one sector it is independent of the angle. Further rotations by up to
    `extent` = 180 / sectors - jitter degrees preserve the label, and larger ones may change it. Sprites are rendered at
    their angle instead of being resampled, and stay inside the inscribed disk. All sprites and sectors are equally
    frequent.

    Source: the construction follows Mario and Iggy in Benton et al. 2020, arXiv:2010.11882, section 4.2, with two
    sectors, 45 degrees and 32 pixels; the sprites are new.

    >>> import equistudy as eq
    >>> eq.Sprites(sectors=2, jitter=45.0).num_classes
    4
    """

    sectors: int = 2
    jitter: float = 45.0
    size: int = 32
    train_size: int = 10_000
    test_size: int = 5_000

    mean: ClassVar[tuple[float, ...]] = (0.178,)
    std: ClassVar[tuple[float, ...]] = (0.346,)
    disjoint: ClassVar[bool] = False
    background: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        if self.sectors < 1 or not 0 <= self.jitter <= 180 / self.sectors:
            raise ValueError(
                f"jitter must lie in [0, 180 / sectors], so that sectors do not overlap, got sectors={self.sectors}, "
                f"jitter={self.jitter}. Use jitter={90 / max(self.sectors, 1):g} to fill half of each sector."
            )
        if self.size < 12 or min(self.train_size, self.test_size) < self.num_classes:
            raise ValueError(
                f"Sprites needs at least 12 pixels and {self.num_classes} examples per split, got size={self.size}, "
                f"train_size={self.train_size}, test_size={self.test_size}. Raise the smallest."
            )

    @property
    def extent(self) -> float:
        """The largest further rotation, in degrees, that preserves all labels; 180 if labels ignore the angle."""
        return 180.0 if self.sectors == 1 else 180 / self.sectors - self.jitter

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """The number of pairs of a sprite and a sector."""
        return 2 * self.sectors

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """One grey channel of `size` by `size` pixels."""
        return 1, self.size, self.size

    def fingerprint(self) -> str:
        """A constant: the images are determined by the fields and this code."""
        return "generated"

    def load(self, split: Split) -> Examples:
        """The images and labels: class 2 k + s is sprite s in sector k. A smaller set is the start of a larger one."""
        import torch

        count = self.train_size if split is Split.TRAIN else self.test_size
        labels = np.arange(count) % self.num_classes
        jitters = (2 * draw_uniforms(int(split is Split.TRAIN), count) - 1) * self.jitter
        angles = np.radians(jitters + 360 / self.sectors * (labels // 2))
        images = np.empty((count, *self.image_shape), dtype=np.uint8)
        for sprite, draw in enumerate((_mushroom_depth, _letter_depth)):
            for start in range(sprite, count, 2048):
                chosen = slice(start, min(start + 2048, count), 2)
                images[chosen, 0] = self._render_sprite(draw, angles[chosen])
        return Examples(torch.from_numpy(images), torch.from_numpy(labels))

    def _render_sprite(
        self, draw: Callable[[Plane, Plane], Plane], angles: Float64[np.ndarray, " N"]
    ) -> UInt8[np.ndarray, "N {self.size} {self.size}"]:
        """The sprite rotated counter-clockwise as displayed, by evaluating the upright sprite at rotated positions."""
        axis = (2 * np.arange(self.size) - (self.size - 1)) / self.size
        x, y = axis[None, None, :], axis[None, :, None]
        cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
        inside = draw(cos * x - sin * y, sin * x + cos * y)  # signed distances; coordinates run from -1 to 1
        shown = np.clip(0.5 + inside * self.size / (2 * EDGE_PIXELS), 0, 1)
        return np.round(255 * shown).astype(np.uint8)


def _box_depth(x: Plane, y: Plane, left: float, top: float, right: float, bottom: float) -> Plane:
    """Signed distance to the border of a box, positive inside."""
    return np.minimum(np.minimum(x - left, right - x), np.minimum(y - top, bottom - y))


def _mushroom_depth(x: Plane, y: Plane) -> Plane:
    """A round cap on a stem."""
    cap = np.minimum(0.55 - np.hypot(x, y + 0.15), -y)
    return np.maximum(cap, _box_depth(x, y, -0.14, -0.1, 0.14, 0.75))


def _letter_depth(x: Plane, y: Plane) -> Plane:
    """An L."""
    return np.maximum(_box_depth(x, y, -0.4, -0.7, -0.12, 0.7), _box_depth(x, y, -0.4, 0.4, 0.45, 0.7))


FILE, NAMES = "images.npz", ("mario", "iggy")


@dataclass(frozen=True)
class MarioIggy(FolderDataset):
    """Mario (class 0) and Iggy (class 1): two colour sprites of 32 x 32 pixels, the same for training and testing.

    `Sectors(MarioIggy(), 2, 45)` is the dataset of Benton et al. 2020, arXiv:2010.11882, section 4.2, except that
    pixels are rounded to 8 bits. `Sprites` is a replacement that needs no file.
    """

    num_classes: ClassVar[int] = 2
    mean: ClassVar[tuple[float, ...]] = (0.2172, 0.1542, 0.1541)
    std: ClassVar[tuple[float, ...]] = (0.3668, 0.2987, 0.3265)
    disjoint: ClassVar[bool] = False
    background: ClassVar[float | None] = 0.0
    original_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    usual_folder: ClassVar[str] = "mario-iggy"
    layouts: ClassVar[tuple[FileLayout, ...]] = (FileLayout(f"{FILE} of the paper's code", "", (FILE,), (FILE,)),)

    @property
    def num_train(self) -> int:
        """Two: one image of each sprite."""
        return 2

    def read(self, split: Split) -> DecodedArrays:
        """Both sprites, rounded to 8 bits."""
        (path,) = self.find_layout().split_paths(split)
        images = np.concatenate([_read_sprite(path, name) for name in NAMES])
        return DecodedArrays(np.round(255 * images).astype(np.uint8), np.arange(2))


def _read_sprite(path: Path, name: str) -> np.ndarray:
    """One sprite, stored as 1 x 3 x 32 x 32 numbers in [0, 1]."""
    found = require_numbers(read_npz(path, NAMES, "MarioIggy")[name], (1, *MarioIggy.original_shape), name, path)
    if found.min() < 0 or found.max() > 1:
        told = f"{found.min():g} to {found.max():g}"
        raise ValueError(f"The values of {name} must lie in [0, 1], got {told} in {path}. Copy it again.")
    return np.asarray(found)
