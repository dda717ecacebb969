"""The Olivetti faces in their MATLAB file, split by person."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from equistudy.datasets.array_files import read_mat, require_numbers
from equistudy.datasets.arrays import DecodedArrays, stratified_order
from equistudy.datasets.dataset import Split
from equistudy.datasets.folder import FileLayout, FolderDataset

__all__ = ["Olivetti"]

FILE, ARRAY = "olivettifaces.mat", "faces"
PERSONS, VIEWS, SIZE = 40, 10, 64
NUM_TRAIN_PERSONS = 30


@dataclass(frozen=True)
class Olivetti(FolderDataset):
    """400 grey photographs of 64 x 64 pixels, ten of each of 40 people: 300 of 30 people for training, 100 for testing.

    The class is the person. The splits share no person, so classes cannot be learned: they only balance subsets, and
    the intended target is the angle, as in `Turned(..., asked=RotationTarget.ANGLE)`. The ten test people are fixed.

    Reads `olivettifaces.mat` (MATLAB 5) with the array `faces` of 4,096 by 400: one photograph per column, stored in
    column-major order.

    Source: AT&T Laboratories Cambridge.
    """

    num_classes: ClassVar[int] = PERSONS
    mean: ClassVar[tuple[float, ...]] = (0.517,)
    std: ClassVar[tuple[float, ...]] = (0.165,)
    original_shape: ClassVar[tuple[int, int, int]] = (1, SIZE, SIZE)
    usual_folder: ClassVar[str] = "olivetti"
    fetch_name: ClassVar[str | None] = "olivetti"
    layouts: ClassVar[tuple[FileLayout, ...]] = (FileLayout(FILE, "olivetti", (FILE,), (FILE,)),)

    @property
    def num_train(self) -> int:
        """The number of photographs of 30 people."""
        return NUM_TRAIN_PERSONS * VIEWS

    def read(self, split: Split) -> DecodedArrays:
        """The photographs of the people of a split."""
        faces = _read_faces(self.find_layout().split_paths(split)[0])
        order = stratified_order([0] * PERSONS)
        persons = sorted(order[:NUM_TRAIN_PERSONS] if split is Split.TRAIN else order[NUM_TRAIN_PERSONS:])
        columns = [VIEWS * person + view for person in persons for view in range(VIEWS)]
        images = faces[:, columns].T.reshape(-1, 1, SIZE, SIZE).transpose(0, 1, 3, 2)
        return DecodedArrays(np.ascontiguousarray(images), np.repeat(np.array(persons, dtype=np.int64), VIEWS))


def _read_faces(path: Path) -> np.ndarray:
    """The array of the file."""
    faces = read_mat(path, (ARRAY,), "Olivetti")[ARRAY]
    faces = require_numbers(faces, (SIZE * SIZE, PERSONS * VIEWS), ARRAY, path, whole=True)
    if faces.min() < 0 or faces.max() > 255:
        raise ValueError(
            f"Grey values must lie in 0 to 255, got {faces.min()} to {faces.max()} in {path}. Check that it is the "
            "original file."
        )
    return np.asarray(faces, dtype=np.uint8)
