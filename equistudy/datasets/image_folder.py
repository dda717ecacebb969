"""A folder of image files, with a folder for each class or without labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from equistudy.datasets.dataset import Split
from equistudy.datasets.photographs import SPLIT_NAMES, ImageListing, Photographs

__all__ = ["ImageFolder"]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class ImageFolder(Photographs):
    """The image files in a folder, told by their suffixes.

    A folder for each class gives the labels, numbered in the order of their names; images beside each other have none.
    Where there are folders for both training (train) and testing (test, or else validation or val), each holds its
    split.
    """

    def list_images(self, split: Split) -> ImageListing:
        """The files sorted by class and name."""
        folder = self._find_folders().get(split)
        if folder is None:
            return ImageListing((), None)
        classes = _list_folders(folder)
        flat = [path for path in sorted(folder.iterdir()) if _is_image(path)]
        if flat and classes and any(self._find_images(name) for name in classes):
            raise ValueError(
                f"An ImageFolder has its images in folders of their classes or beside each other, got both in {folder}:"
                f" {flat[0].name} and {classes[0].name}. Move one of them."
            )
        if flat:
            return ImageListing(tuple(self._relative_name(path) for path in flat), None)
        members = [(path, label) for label, name in enumerate(classes) for path in self._find_images(name)]
        return ImageListing(
            tuple(self._relative_name(path) for path, _ in members), tuple(label for _, label in members)
        )

    def read_encoded(self, split: Split, chosen: Sequence[int]) -> Iterator[bytes]:
        """The bytes of the files."""
        names = self.list_images(split).names
        return ((self.root / names[index]).read_bytes() for index in chosen)

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of each image file."""
        names = [name for split in Split for name in self.list_images(split).names]
        stats = ((name, (self.root / name).stat()) for name in names)
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

    def describe_remedy(self) -> str:
        """What to put there."""
        return "Put there files such as a.png, folders of them for classes, or train and test with such folders."

    def _find_folders(self) -> dict[Split, Path]:
        """The folder of each split: both, or that of all images for testing."""
        if not self.root.is_dir():
            raise ValueError(f"An ImageFolder is a folder, got {self.root}. Name the folder that holds the images.")
        found = {
            split: next((path for name in names if (path := self.root / name).is_dir()), None)
            for split, names in SPLIT_NAMES.items()
        }
        both = {split: path for split, path in found.items() if path is not None}
        return both if len(both) == len(SPLIT_NAMES) else {Split.TEST: self.root}

    def _find_images(self, folder: Path) -> list[Path]:
        """The images in a folder and below it."""
        return sorted(path for path in folder.rglob("*") if _is_image(path))

    def _relative_name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _list_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
