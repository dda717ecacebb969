"""The image files below a folder: links are followed, hidden files are skipped."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from equistudy.datasets.splits import is_hidden

__all__ = ["ImageTree", "scan_images"]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
SETTLED_NS = 2 * 10**9  # a folder changed more recently may change again within the resolution of its modification time
MAX_CACHED = 16


@dataclass(frozen=True, eq=False)
class ImageTree:
    """A folder with its image files and its subfolders, both sorted by name, without hidden ones.

    Images are recognised by their suffixes; broken links with such names count as images that cannot be read.
    `loops` are links back to a folder above them.
    """

    path: Path
    images: tuple[Path, ...]
    folders: tuple["ImageTree", ...]
    leftovers: tuple[Path, ...]
    loops: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    def iterate_trees(self) -> Iterator["ImageTree"]:
        """This folder and all below it."""
        yield self
        for folder in self.folders:
            yield from folder.iterate_trees()

    @cached_property
    def all_images(self) -> tuple[Path, ...]:
        """All images in this folder and below it, sorted by path."""
        return tuple(sorted(image for tree in self.iterate_trees() for image in tree.images))

    @cached_property
    def has_images(self) -> bool:
        """Whether there is an image in this folder or below it."""
        return any(tree.images for tree in self.iterate_trees())


_scanned: dict[Path, tuple[ImageTree, dict[Path, int]]] = {}


def scan_images(root: Path) -> ImageTree:
    """The images below a folder; scanned again only after one of its folders has changed."""
    if root in _scanned:
        tree, times = _scanned[root]
        if _read_times(times) == times:
            return tree
        del _scanned[root]
    began = time.time_ns()
    times = {}
    tree = _scan(root, (), times)
    if max(times.values()) < began - SETTLED_NS:
        while len(_scanned) >= MAX_CACHED:
            del _scanned[next(iter(_scanned))]
        _scanned[root] = tree, times
    return tree


def _read_times(folders: dict[Path, int]) -> dict[Path, int] | None:
    try:
        return {folder: folder.stat().st_mtime_ns for folder in folders}
    except OSError:  # a folder was removed
        return None


def _scan(folder: Path, above: tuple[tuple[int, int], ...], times: dict[Path, int]) -> ImageTree:
    images, folders, leftovers, loops = [], [], [], []
    try:
        stat = folder.stat()
        times[folder] = stat.st_mtime_ns
        chain = (*above, (stat.st_dev, stat.st_ino))
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = folder / entry.name
                if is_hidden(entry.name):
                    leftovers += [] if entry.name.startswith(".") else [path]
                elif entry.is_dir():
                    inside = path.stat()
                    if (inside.st_dev, inside.st_ino) in chain:
                        loops.append(path)
                    else:
                        folders.append(_scan(path, chain, times))
                elif path.suffix.lower() in SUFFIXES and (entry.is_file() or entry.is_symlink()):
                    images.append(path)
    except OSError as error:
        raise ValueError(
            f"Cannot read the folder {folder}: {error.strerror or error}. Check its permissions."
        ) from error
    return ImageTree(folder, tuple(images), tuple(folders), tuple(leftovers), tuple(loops))
