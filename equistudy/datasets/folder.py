"""Datasets in a local folder: finds the files of a known layout, or says how to get them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int64, UInt8

from equistudy.datasets.arrays import ArrayDataset
from equistudy.datasets.contents import find_file
from equistudy.datasets.data_folder import describe_fetch, get_data_folder
from equistudy.datasets.dataset import Split
from equistudy.datasets.resizing import resize_square
from equistudy.spec import added_field, location_field

__all__ = ["FileLayout", "FolderDataset", "check_labels"]

Self = TypeVar("Self", bound="FolderDataset")


class FileLayout(NamedTuple):
    """One published layout of a dataset: the folder inside its archive, and the files of each split in order."""

    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All file names."""
        return self.train + self.test


class FoundLayout(NamedTuple):
    """A layout whose files all exist."""

    layout: FileLayout
    paths: dict[str, Path]

    def split_paths(self, split: Split) -> list[Path]:
        """The files of a split in order."""
        return [self.paths[name] for name in (self.layout.train if split is Split.TRAIN else self.layout.test)]


@dataclass(frozen=True)
class FolderDataset(ArrayDataset):
    """Base of the datasets that are read from `folder` in their original format.

    Only the command `fetch` downloads. The folder holds the files themselves or the folder of the original archive;
    each file may be gzipped. None stands for the dataset's usual name in the folder of EQUISTUDY_DATA, or in ./data/.
    The location of the files is not part of the identity.

    `size` resizes the images with `resize_square` before anything else; None keeps their size. A single pixel can
    decide whether a network with strides is exactly equivariant.
    """

    folder: str | None = location_field(None)
    size: int | None = added_field(None)

    usual_folder: ClassVar[str]
    layouts: ClassVar[tuple[FileLayout, ...]]
    original_shape: ClassVar[tuple[int, int, int]]
    fetch_name: ClassVar[str | None] = None  # the name of the dataset in `fetch`, if it can be fetched

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ValueError(
                f"{type(self).__name__}.size must be at least 1 pixel, got size={self.size}. "
                f"Use None for the original {self.original_shape[1]}."
            )
        super().__post_init__()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width): square with `size` pixels, or the original shape."""
        channels, height, width = self.original_shape
        return (channels, height, width) if self.size is None else (channels, self.size, self.size)

    def resize_images(self, images: UInt8[np.ndarray, "N C H W"]) -> UInt8[np.ndarray, "N C h w"]:
        """The images at `size`."""
        return images if self.size is None else resize_square(images, self.size)

    @property
    def root(self) -> Path:
        """The folder that is searched for the files."""
        return Path(self.folder) if self.folder is not None else get_data_folder() / self.usual_folder

    def with_absolute_paths(self: Self) -> Self:
        """The same dataset with an absolute folder, for a process with another working directory."""
        return dataclasses.replace(self, folder=str(self.root.absolute()))

    def list_layouts(self) -> tuple[FileLayout, ...]:
        """The accepted layouts, in order of preference."""
        return self.layouts

    def find_layout(self) -> FoundLayout:
        """The first layout whose files all exist. Raises ValueError if there is none."""
        nearest: tuple[list[str], Path] | None = None
        for layout in self.list_layouts():
            for folder in (self.root / layout.folder, self.root):
                paths = {name: path for name in layout.names if (path := find_file(folder / name)) is not None}
                absent = [name for name in layout.names if name not in paths]
                if not absent:
                    return FoundLayout(layout, paths)
                if paths and (nearest is None or len(absent) < len(nearest[0])):
                    nearest = absent, folder
        if nearest is None:
            raise ValueError(
                f"{type(self).__name__} needs its data files, got none in {self._describe_search()}. "
                f"{self._describe_remedy()}"
            )
        raise ValueError(
            f"{type(self).__name__} needs all files of its archive, got {nearest[1]} without "
            f"{', '.join(nearest[0])}. {self._describe_remedy()}"
        )

    def files(self) -> tuple[Path, ...]:
        """The files of the layout that was found."""
        return tuple(self.find_layout().paths.values())

    def _describe_search(self) -> str:
        if self.root.is_dir():
            return str(self.root)
        return f"{self.root}, which {'is not a folder' if self.root.exists() else 'does not exist'}"

    def _describe_remedy(self) -> str:
        wanted = " or ".join(
            f"{', '.join(layout.names)} (official: {layout.archive})" for layout in self.list_layouts()
        )
        remedy = f"Put the files {wanted} there, or name another folder: {type(self).__name__}(folder=...)."
        return remedy if self.fetch_name is None else f"{remedy} {describe_fetch(self.fetch_name, self.folder)}"


def check_labels(labels: Int64[np.ndarray, " N"], num_classes: int, path: Path) -> None:
    """Raises ValueError if a label is not a class."""
    if len(labels) == 0:
        raise ValueError(f"A split needs at least one example, got none in {path}. Copy it again.")
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(
            f"Labels must lie in 0 to {num_classes - 1}, got {labels[place]} at position {place} of {path}. "
            f"Check that the file belongs to this dataset."
        )
