"""Flowers-102 in its original files: a folder of photographs and two MATLAB files of labels and splits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from equistudy.datasets.array_files import read_mat, require_numbers
from equistudy.datasets.contents import read_bytes
from equistudy.datasets.data_folder import describe_fetch
from equistudy.datasets.dataset import Split
from equistudy.datasets.photographs import ImageListing, Photographs
from equistudy.datasets.splits import is_hidden

__all__ = ["Flowers102"]

NUM_CLASSES = 102
LABELS, SPLITS, PHOTOGRAPHS = "imagelabels.mat", "setid.mat", "jpg"


class FlowerTables(NamedTuple):
    """The class of each photograph and the numbers of the photographs in each split, all counted from 1."""

    labels: Int64[np.ndarray, " N"]
    train: Int64[np.ndarray, " M"]
    test: Int64[np.ndarray, " K"]


@dataclass(frozen=True)
class Flowers102(Photographs):
    """Photographs of flowers in 102 classes: 2,040 for training (the published train and valid) and 6,149 for testing.

    `path` is the folder with jpg/, imagelabels.mat and setid.mat, or its parent with a folder flowers-102, as
    torchvision writes it. For photographs in one folder per class use `ImageFolder`.

    Source: Nilsback and Zisserman 2008, Automated Flower Classification over a Large Number of Classes.
    """

    def list_images(self, split: Split) -> ImageListing:
        """The photographs of a split in the order of setid.mat."""
        tables = self._load_tables()
        numbers = tables.train if split is Split.TRAIN else tables.test
        names = tuple(f"image_{number:05d}.jpg" for number in numbers.tolist())
        return ImageListing(names, tuple((tables.labels[numbers - 1] - 1).tolist()) if self.labels else None)

    def read_encoded(self, split: Split, chosen: Sequence[int]) -> Iterator[bytes | str]:
        """The bytes of each file, or that it is missing."""
        names, folder = self.list_images(split).names, self._find_folder() / PHOTOGRAPHS
        paths = (folder / names[index] for index in chosen)
        return (read_bytes(path) if path.is_file() else "missing" for path in paths)

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and modification time of the tables and of each photograph present."""
        folder = self._find_folder()
        photographs = (path for path in sorted((folder / PHOTOGRAPHS).glob("*.jpg")) if not is_hidden(path.name))
        paths = [folder / LABELS, folder / SPLITS, *(path for path in photographs if path.is_file())]
        stats = ((path.name, path.stat()) for path in paths)
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

    def describe_remedy(self) -> str:
        """The last sentence of an error about missing files."""
        fetch = describe_fetch("flowers102", str(self.root))
        return f"Put {PHOTOGRAPHS}/ (official: 102flowers.tgz), {LABELS} and {SPLITS} there. {fetch}"

    def _find_folder(self) -> Path:
        for folder in (self.root, self.root / "flowers-102"):
            absent = [name for name in (LABELS, SPLITS, PHOTOGRAPHS) if not (folder / name).exists()]
            if not absent:
                return folder
        raise ValueError(f"Flowers102 needs all its files, got {self.root} without them. {self.describe_remedy()}")

    def _load_tables(self) -> FlowerTables:
        folder = self._find_folder()
        return _read_tables(folder, (folder / LABELS).stat().st_mtime_ns, (folder / SPLITS).stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read_tables(folder: Path, *changed: int) -> FlowerTables:
    """The tables, read again only after they have changed."""
    labels = _read_columns(folder / LABELS, ("labels",))[0]
    if len(labels) and (labels.min() < 1 or labels.max() > NUM_CLASSES):
        raise ValueError(
            f"Classes must be numbered from 1 to {NUM_CLASSES}, got {labels.min()} to {labels.max()} in "
            f"{folder / LABELS}. Check that the file belongs to this dataset."
        )
    train, valid, test = _read_columns(folder / SPLITS, ("trnid", "valid", "tstid"))
    for numbers in (train, valid, test):
        if len(numbers) and (numbers.min() < 1 or numbers.max() > len(labels)):
            raise ValueError(
                f"Photographs must be numbered from 1 to {len(labels)}, the length of {LABELS}, got {numbers.min()} to "
                f"{numbers.max()} in {folder / SPLITS}. Check that both files belong to this dataset."
            )
    return FlowerTables(labels, np.concatenate([train, valid]), test)


def _read_columns(path: Path, names: tuple[str, ...]) -> list[Int64[np.ndarray, " N"]]:
    """Arrays of whole numbers from a MATLAB file, flattened."""
    found = read_mat(path, names, "Flowers102")
    return [require_numbers(found[name].reshape(-1), (None,), name, path, whole=True) for name in names]
