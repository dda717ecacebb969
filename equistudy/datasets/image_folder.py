"""A folder of image files with one folder per class, with a list of classes, or without labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from equistudy.datasets.class_lists import match_classes, read_class_list
from equistudy.datasets.contents import read_bytes
from equistudy.datasets.dataset import Split
from equistudy.datasets.image_tree import ImageTree, scan_images
from equistudy.datasets.photographs import ImageListing, Photographs
from equistudy.datasets.splits import SPLIT_NAMES

__all__ = ["ImageFolder"]

UNSORTED = ("images", "image", "imgs", "img")  # a single folder with one of these names is not a class
MAX_CACHED = 16
MAX_NAMED = 5  # folders named in a message


_listed: dict[tuple["ImageFolder", Path, Split], tuple[ImageTree, ImageListing]] = {}  # while unchanged


class FolderPart(NamedTuple):
    """The images of a split, the class name of each (None without labels), and all class names in order."""

    tree: ImageTree
    images: tuple[Path, ...]
    classes: tuple[str, ...] | None
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageFolder(Photographs):
    """The image files in a folder, recognised by their suffixes.

    Each folder that contains images is a class. Images directly in the folder of a split have no labels, unless a list
    assigns them: `val_annotations.txt` as in Tiny ImageNet, `LOC_val_solution.csv` or `val.txt` as for ImageNet.

    Folders named train (or training) and test (or testing, validation, valid, val), in upper or lower case, are splits;
    of several test splits, the first with labels is used. Classes are numbered in the order of the names of the
    training classes, or without a training split, of the test classes. A test class that is absent from training is a
    ValueError. Hidden files and folders are skipped, and links are followed. Folders without images are not classes;
    `notes` lists them.

    >>> import equistudy as eq
    >>> eq.ImageFolder("photos", size=64).image_shape
    (3, 64, 64)
    """

    def list_images(self, split: Split) -> ImageListing:
        """The files sorted by class and name."""
        tree, key = scan_images(self.root), (self, self.root, split)
        if key in _listed and _listed[key][0] is tree:
            return _listed[key][1]
        listing = self._list_part(split)
        while len(_listed) >= MAX_CACHED:
            del _listed[next(iter(_listed))]
        _listed[key] = tree, listing
        return listing

    def _list_part(self, split: Split) -> ImageListing:
        found = self._find_parts()
        part = found.get(split)
        if part is None:
            return ImageListing((), None)
        names = tuple(self._relative_name(path) for path in part.images)
        if part.classes is None or not self.labels:
            return ImageListing(names, None)
        if self.classes is not None:
            return ImageListing(names, match_classes(part.classes, self.classes, part.tree.path))
        numbers = {name: number for number, name in enumerate(_find_order(found))}
        absent = sorted({name for name in part.classes if name not in numbers})
        if absent:
            raise ValueError(
                f"Every test class must occur in training, got {_abbreviate(absent)} in {part.tree.path} "
                f"without images in {found[Split.TRAIN].tree.path}. Remove or rename folders that are not classes, or "
                "use labels=False."
            )
        return ImageListing(names, tuple(numbers[name] for name in part.classes))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The sorted names of the classes; empty without labels."""
        return _find_order(self._find_parts()) if self.labels else ()

    def notes(self, split: Split) -> tuple[str, ...]:
        """Which folders were skipped, and which of several test splits is used."""
        found, told, place = self._find_parts(), [], self.root.absolute()
        if split not in found:
            return ()
        used, trees = found[split].tree, list(found[split].tree.iterate_trees())
        leftovers = [path for tree in (scan_images(self.root), *trees) for path in tree.leftovers]
        empty = [tree.path for tree in trees if tree.path.parent == used.path and not tree.has_images]
        loops = [path for tree in trees for path in tree.loops]
        for paths, what in (
            (dict.fromkeys(leftovers), "left by macOS"),
            (empty, "no images"),
            (loops, "a link to a folder above it"),
        ):
            if paths:
                told.append(f"{place}: skipped {_abbreviate([self._relative_name(path) for path in paths])} ({what})")
        parts = [tree.name for tree in self._find_candidates().get(split, [])]
        earlier = parts[: parts.index(used.name)] if parts else []
        if earlier:
            told.append(f"{place}: testing on {used.name}, because {' and '.join(earlier)} has no labels")
        return (*told, *super().notes(split))

    def read_encoded(self, split: Split, chosen: Sequence[int]) -> Iterator[bytes | str]:
        """The bytes of each file, or the reason why it cannot be read."""
        names = self.list_images(split).names
        return (_read_or_explain(self.root / names[index]) for index in chosen)

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and modification time of each image file."""
        paths = [path for part in self._find_parts().values() for path in part.images]
        return tuple((self._relative_name(path), *_stamp_file(path)) for path in paths)

    def describe_remedy(self) -> str:
        """The last sentence of an error about missing images."""
        return "Put image files there, or one folder of images per class, or folders train and test of such folders."

    def _find_candidates(self) -> dict[Split, list[ImageTree]]:
        """The folders with images that are named like a split; none if such a name is a class."""
        if not self.root.is_dir():
            raise ValueError(f"ImageFolder needs a folder, got {self.root}. Name the folder that contains the images.")
        root = scan_images(self.root)
        filled = [tree for tree in root.folders if tree.has_images]
        found = {
            split: [tree for name in names for tree in filled if tree.name.lower() == name]
            for split, names in SPLIT_NAMES.items()
        }
        named = [tree for trees in found.values() for tree in trees]
        twins = [tree.name for tree in named if [each.name.lower() for each in named].count(tree.name.lower()) > 1]
        if twins:
            raise ValueError(f"A split must be one folder, got {_abbreviate(twins)} in {self.root}. Rename one.")
        if all(found.values()) or (named and len(named) == len(filled) and not root.images):
            return found
        nested = [tree.name for tree in named if not tree.images]
        if nested:
            others = [tree.name for tree in filled if tree not in named] or [path.name for path in root.images]
            raise ValueError(
                f"Folders of splits and folders of classes must not be mixed, got {_abbreviate(nested)} beside "
                f"{_abbreviate(others)} in {self.root}. Pass the folder of the split itself, or rename it if it is a "
                "class."
            )
        return {}

    def _find_parts(self) -> dict[Split, FolderPart]:
        """The images of each split that exists; a folder without splits is for testing."""
        candidates = self._find_candidates()
        if not candidates:
            return {Split.TEST: _create_part(scan_images(self.root), None)}
        training = [_create_part(tree, None) for tree in candidates[Split.TRAIN]]
        known = (training[0].order or None) if training else None
        testing = [_create_part(tree, known) for tree in candidates[Split.TEST]]
        labelled = [part for part in testing if part.classes is not None] if self.labels else []
        found = {Split.TRAIN: training, Split.TEST: labelled or testing}
        return {split: parts[0] for split, parts in found.items() if parts}

    def _relative_name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _create_part(tree: ImageTree, known: tuple[str, ...] | None) -> FolderPart:
    """The images of a split with their classes, from folders or a list; `known` are the classes of training."""
    classes = [folder for folder in tree.folders if folder.has_images]
    if tree.images and classes:
        raise ValueError(
            f"Images must all lie in class folders, or all directly in the folder, got both in {tree.path}: "
            f"{tree.images[0].name} and {classes[0].name}. Move one of them."
        )
    unsorted = len(classes) == 1 and classes[0].name.lower() in UNSORTED and classes[0].name not in (known or ())
    if tree.images or unsorted:
        images = tree.images or classes[0].all_images
        return FolderPart(tree, images, *(read_class_list(tree.path, images, known) or (None, ())))
    members = [(path, folder.name) for folder in classes for path in folder.all_images]
    names = tuple(name for _, name in members)
    return FolderPart(tree, tuple(path for path, _ in members), names, tuple(sorted(set(names))))


def _find_order(found: dict[Split, FolderPart]) -> tuple[str, ...]:
    """The names of the classes in the order of their numbers: those of training, or otherwise of testing."""
    parts = (found.get(split) for split in (Split.TRAIN, Split.TEST))
    return next((part.order for part in parts if part is not None and part.order), ())


def _read_or_explain(path: Path) -> bytes | str:
    try:
        return read_bytes(path)
    except ValueError as error:
        cause = error.__cause__
        return f"not readable: {getattr(cause, 'strerror', None) or cause}"


def _stamp_file(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # a broken link
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _abbreviate(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{', '.join(names[:MAX_NAMED])}{more}"
