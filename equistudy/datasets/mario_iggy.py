"""The two sprites of the Augerino paper, in their original file."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from equistudy.datasets.array_files import read_npz, require_numbers
from equistudy.datasets.arrays import DecodedArrays
from equistudy.datasets.dataset import Split
from equistudy.datasets.folder import FileLayout, FolderDataset

__all__ = ["MarioIggy"]

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
