"""Rotated MNIST in its original text files."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import ClassVar

import numpy as np

from equistudy.datasets.arrays import DecodedArrays
from equistudy.datasets.contents import GZIP_MAGIC
from equistudy.datasets.dataset import Split
from equistudy.datasets.folder import FileLayout, FolderDataset, check_labels

__all__ = ["RotatedMNIST"]

SIDE, COLUMNS = 28, 28 * 28 + 1
ROWS_AT_ONCE = 1000
PREFIX = "mnist_all_rotation_normalized_float"


@dataclass(frozen=True)
class RotatedMNIST(FolderDataset):
    """12,000 training and 50,000 test digits of 28 x 28 grey pixels, each rotated by its own angle, in 10 classes.

    Reads `..._train_valid.amat` and `..._test.amat`, gzipped or not. Each line has 784 numbers from 0 to 1 in row-major
    order, which are rounded to 8 bits, and the class. `Turned(MNIST())` is a different dataset of the same name.

    Source: Larochelle et al. 2007, An Empirical Evaluation of Deep Architectures on Problems with Many Factors of
    Variation; mnist_rotation_new.zip.
    """

    num_classes: ClassVar[int] = 10
    mean: ClassVar[tuple[float, ...]] = (0.13,)
    std: ClassVar[tuple[float, ...]] = (0.297,)
    background: ClassVar[float | None] = 0.0
    original_shape: ClassVar[tuple[int, int, int]] = (1, SIDE, SIDE)
    usual_folder: ClassVar[str] = "rotated-mnist"
    layouts: ClassVar[tuple[FileLayout, ...]] = (
        FileLayout(
            "mnist_rotation_new.zip", "mnist_rotation_new", (f"{PREFIX}_train_valid.amat",), (f"{PREFIX}_test.amat",)
        ),
    )

    @property
    def num_train(self) -> int:
        """The number of training examples in the official set."""
        return 12_000

    def read(self, split: Split) -> DecodedArrays:
        """The whole split, decoded."""
        (path,) = self.find_layout().split_paths(split)
        stat = path.stat()
        found = _read_table(path, stat.st_size, stat.st_mtime_ns)
        check_labels(found.labels, self.num_classes, path)
        return found


@lru_cache(maxsize=2)
def _read_table(path: Path, *changed: int) -> DecodedArrays:
    """Images and labels of a file, read again only after it has changed: its text takes half a gigabyte."""
    images, labels, line = [], [], 1
    for part in _read_lines(path):
        try:
            table = np.loadtxt(part, ndmin=2)
            if table.shape[1] != COLUMNS:
                raise ValueError(f"{table.shape[1]} numbers on a line")
            values, classes = table[:, :-1], table[:, -1]
            if not (values.min() >= 0 and values.max() <= 1):
                raise ValueError(f"pixels from {values.min():g} to {values.max():g}")
            if (classes != np.round(classes)).any() or not np.isfinite(classes).all():
                raise ValueError("a class that is not a whole number")
        except ValueError as error:
            raise ValueError(
                f"RotatedMNIST needs lines of {COLUMNS - 1} numbers from 0 to 1 and a class, got {path}, lines {line} "
                f"to {line + len(part) - 1}, with: {error}. Copy it again."
            ) from error
        images.append(np.floor(values * 255 + 0.5).astype(np.uint8).reshape(-1, 1, SIDE, SIDE))
        labels.append(classes.astype(np.int64))
        line += len(part)
    if not images:
        raise ValueError(f"A split needs at least one example, got none in {path}. Copy it again.")
    return DecodedArrays(np.concatenate(images), np.concatenate(labels))


def _read_lines(path: Path) -> Iterator[list[str]]:
    """The lines of a file that are not blank, in chunks."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        with gzip.open(path, "rt") if packed else path.open() as lines:
            while part := list(islice(lines, ROWS_AT_ONCE)):
                if kept := [text for text in part if text.strip()]:
                    yield kept
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"Cannot read {path}, which is damaged or truncated: {error}. Copy it again.") from error
