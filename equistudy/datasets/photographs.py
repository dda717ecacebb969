"""Photographs of any size, stored compressed: decoded, cut to squares of one size, and what cannot be read named."""

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8

from equistudy.datasets.arrays import stratified_order
from equistudy.datasets.class_lists import IMAGENET_LISTS, read_class_order
from equistudy.datasets.dataset import Dataset, Examples, Split
from equistudy.datasets.decoding import decode_square, describe_conversion
from equistudy.spec import added_field, location_field

__all__ = ["CorruptImages", "DatasetNote", "DecodedSplit", "ImageListing", "Interpolation", "Photographs"]

MAX_CORRUPT_SHARE = 0.2  # the share of images that may be left out
PART_SIZE = 256  # compressed images that are in memory at once
MAX_NAMED = 5  # how many of them a message names
KINDS = {Split.TRAIN: "training images", Split.TEST: "test images"}
IMAGENET_CLASSES = 1000  # of ImageNet: without labels, a pretrained network keeps its classifier

Self = TypeVar("Self", bound="Photographs")


class Interpolation(Enum):
    """How images are resized; the values are those of timm. Where they shrink, all average what they skip."""

    BICUBIC = "bicubic"
    BILINEAR = "bilinear"
    LANCZOS = "lanczos"


class DatasetNote(UserWarning):
    """What a reader of results should know about how images were found and decoded."""


class CorruptImages(DatasetNote):
    """Some images could not be read and were left out; the message counts and names them."""


class ImageListing(NamedTuple):
    """The images of a split in a fixed order: their names, and their classes from 0 where any of them has one.

    An image without a class has -1.
    """

    names: tuple[str, ...]
    labels: tuple[int, ...] | None


class DecodedSplit(NamedTuple):
    """What came of decoding a split: the places of the images that can be read, their targets, and what to tell."""

    slots: tuple[int, ...]
    targets: tuple[int, ...]
    notes: tuple[str, ...]
    corrupt: str | None

    def warn(self) -> None:
        """Warns of what is to be told, always from here, so that the same text is shown once in a process."""
        for note in self.notes:
            warnings.warn(note, DatasetNote, stacklevel=1)
        if self.corrupt is not None:
            warnings.warn(self.corrupt, CorruptImages, stacklevel=1)


@dataclass(frozen=True)
class Photographs(Dataset):
    """Base of the sets of compressed images at `path`, which is not part of the identity.

    Each image is turned upright by its EXIF orientation, resized (by `interpolation`, with antialiasing) so that its
    shorter side has `size` pixels, and cropped to its central square; with `squash` both sides get `size` pixels. Grey
    images become RGB; images of more than 8 bits keep their range, see `datasets.decoding`. Images that cannot be read
    are left out with a warning that counts and names them; more than one in five is a ValueError.

    `train_size` and `test_size` keep the first images of `stratified_order` of their split. A set without a training
    split is for testing. `labels=False` ignores the classes, as for images whose classes are not those of the network
    that is measured; `num_classes` is then that of ImageNet, as for images without labels. Where some images of a split
    have a class and others have none, the others are left out.

    `classes` says how the outputs of a network are numbered where the images show some of its classes: "imagenet-1k",
    another of `class_lists.IMAGENET_LISTS`, or a file with the name of a class on each line. It is not part
    of the identity, but the numbers of the classes are, by the fingerprint.

    With `streamed` the images for training are never in memory all at once: they are read part by part and decoded
    while the network trains (`datasets.streaming`), and an unreadable one is replaced by its neighbour. Those for
    testing are in memory, so `test_size` should limit their number.

    `mean` and `std` are those of ImageNet, which most published networks expect.
    """

    path: str | None = location_field(None)
    size: int = 224
    train_size: int | None = dataclasses.field(default=None, kw_only=True)
    test_size: int | None = dataclasses.field(default=None, kw_only=True)
    labels: bool = dataclasses.field(default=True, kw_only=True)
    streamed: bool = added_field(False)
    interpolation: Interpolation = added_field(Interpolation.BICUBIC)  # noqa: RUF009 -- a field
    squash: bool = added_field(False)
    classes: str | None = dataclasses.field(default=None, kw_only=True, metadata={"location": True})

    mean: ClassVar[tuple[float, ...]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, ...]] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if self.path is None:
            raise ValueError(f"{type(self).__name__} needs the place of its images. Give {type(self).__name__}(path).")
        for name in ("size", "train_size", "test_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{type(self).__name__}.{name} must be at least 1, got {name}={value}.")

    @property
    def root(self) -> Path:
        """Where the images lie."""
        assert self.path is not None
        return Path(self.path)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Three colours of `size` by `size` pixels."""
        return 3, self.size, self.size

    @property
    def has_labels(self) -> bool:
        """Whether the images in use have classes."""
        return self.list_images(Split.TEST).labels is not None

    @property
    def num_classes(self) -> int:  # type: ignore[override]  # other sets know it before any file is read
        """How many classes the labels tell apart, over both splits, or the network where `classes` lists them."""
        if self.classes is not None and self.labels:
            return len(read_class_order(self.classes))
        labels = [label for split in Split for label in self.list_images(split).labels or ()]
        return 1 + max(labels) if labels else IMAGENET_CLASSES

    def with_absolute_paths(self: Self) -> Self:
        """The same dataset with an absolute place, to be sent to a process that runs in another directory."""
        there = dataclasses.replace(self, path=str(self.root.absolute()))
        if self.classes is None or self.classes in IMAGENET_LISTS:
            return there
        return dataclasses.replace(there, classes=str(Path(self.classes).absolute()))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes in the order of their numbers, where the images have labels with names."""
        return ()

    def list_images(self, split: Split) -> ImageListing:
        """All images of a split, without reading them; without classes where `labels` is False."""
        raise NotImplementedError

    def read_encoded(self, split: Split, chosen: Sequence[int]) -> Iterator[bytes | str]:
        """The compressed images at these places of the listing, in this order, or why one cannot be read."""
        raise NotImplementedError

    def notes(self, split: Split) -> tuple[str, ...]:
        """What a reader should know about how the images of a split were found; `load` warns of it."""
        labels = self.list_images(split).labels
        unlabelled = 0 if labels is None else labels.count(-1)
        if labels is None or not unlabelled:
            return ()
        what = f"{unlabelled} of {len(labels)} {KINDS[split]}"
        return (f"{self.root.absolute()}: {what} have no label and are left out",)

    def part_sizes(self, split: Split) -> list[int]:
        """How many images, in the order of the listing, lie together and are best read together: here each alone."""
        return [1] * len(self.list_images(split).names)

    def fingerprint(self) -> str:
        """SHA-256 over the stored bytes and the labels of the images in use.

        Kept in the process until the size or the time of change of a file differs. Of images that are streamed, which
        would take hours to read, only the names and labels count, and the sizes of the files.
        """
        return _compute_fingerprint(self, self.root.absolute(), self.stamp())

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of each file: while they stay, so does the fingerprint."""
        raise NotImplementedError

    def load(self, split: Split) -> Examples:
        """The images in use on the CPU, less those that cannot be read; without labels each target is -1."""
        import torch

        images = np.empty((len(self.choose_images(split)), *self.image_shape), np.uint8)
        found = self.decode_split(split, images.__setitem__)
        found.warn()
        if len(found.slots) < len(images):
            images = images[list(found.slots)]
        return Examples(torch.from_numpy(images), torch.tensor(found.targets))

    def decode_split(self, split: Split, take: Callable[[int, UInt8[np.ndarray, "3 S S"]], None]) -> DecodedSplit:
        """Decodes the images in use one after the other; `take` gets each with its place among them, in any order."""
        listing, chosen = self.list_images(split), self.choose_images(split)
        unreadable: dict[int, str] = {}
        turned = 0
        for slot, data in self._iterate_encoded(split, chosen):
            decoded = self.decode(data)
            if isinstance(decoded, str):
                unreadable[slot] = f"{listing.names[chosen[slot]]} ({decoded})"
            else:
                take(slot, decoded)
                turned += "orientation" in describe_conversion(data)
        slots = tuple(slot for slot in range(len(chosen)) if slot not in unreadable)
        labels = listing.labels
        targets = tuple(-1 if labels is None else labels[chosen[slot]] for slot in slots)
        notes = (*self.notes(split), *self._describe_turned(split, turned, len(chosen)))
        corrupt = self.describe_corrupt([unreadable[slot] for slot in sorted(unreadable)], len(chosen))
        return DecodedSplit(slots, targets, notes, corrupt)

    def _iterate_encoded(self, split: Split, chosen: Sequence[int]) -> Iterator[tuple[int, bytes | str]]:
        """The compressed images with their places among the chosen ones, part by part in the order of storage."""
        slots = sorted(range(len(chosen)), key=lambda slot: chosen[slot])
        for start in range(0, len(slots), PART_SIZE):
            part = slots[start : start + PART_SIZE]
            yield from zip(part, self.read_encoded(split, [chosen[slot] for slot in part]), strict=True)

    def decode(self, data: bytes | str) -> UInt8[np.ndarray, "3 S S"] | str:
        """An image as `read_encoded` gives it at the size and in the way of this dataset, or why it cannot be read."""
        return decode_square(data, self.size, self.interpolation.value, self.squash)

    def choose_images(self, split: Split) -> list[int]:
        """The places of the images in use: all in their order, or a part with every class in proportion."""
        names, labels = self.list_images(split)
        wanted = self.train_size if split is Split.TRAIN else self.test_size
        if not names:
            what = "images" if split is Split.TEST else "images for training"
            raise ValueError(f"{type(self).__name__} needs {what}, got none in {self.root}. {self.describe_remedy()}")
        usable = [place for place in range(len(names)) if labels is None or labels[place] >= 0]
        if wanted is None:
            return usable
        if wanted > len(usable):
            kind = "images" if len(usable) == len(names) else "images with labels"
            raise ValueError(
                f"{type(self).__name__}.{split.value}_size is at most the number of {kind}, got "
                f"{split.value}_size={wanted} for {len(usable)} in {self.root}. Use {len(usable)}, or None for all."
            )
        order = stratified_order([0] * len(usable) if labels is None else [labels[place] for place in usable])
        return [usable[place] for place in order[:wanted]]

    def _describe_turned(self, split: Split, turned: int, total: int) -> tuple[str, ...]:
        what = f"{turned} of {total} {KINDS[split]}"
        return (
            (f"{self.root.absolute()}: {what} were rotated upright according to their EXIF orientation",)
            if turned
            else ()
        )

    def describe_remedy(self) -> str:
        """What to put there, for messages."""
        raise NotImplementedError

    def report_corrupt(self, corrupt: Sequence[str], total: int, instead: str = "they are left out") -> None:
        """Warns of images that cannot be read, by number and name; ValueError where they are too many."""
        told = self.describe_corrupt(corrupt, total, instead)
        if told is not None:
            warnings.warn(told, CorruptImages, stacklevel=3)

    def describe_corrupt(self, corrupt: Sequence[str], total: int, instead: str = "they are left out") -> str | None:
        """How many and which images cannot be read, or None; ValueError where they are too many."""
        if not corrupt:
            return None
        more = f", and {len(corrupt) - MAX_NAMED} more" if len(corrupt) > MAX_NAMED else ""
        told = f"{len(corrupt)} of {total} images of {self.root} cannot be read: {', '.join(corrupt[:MAX_NAMED])}{more}"
        if len(corrupt) > MAX_CORRUPT_SHARE * total:
            most = f"{MAX_CORRUPT_SHARE:.0%}"
            raise ValueError(f"At most {most} of the images may be unreadable, but {told}. Copy them again.")
        return f"{told}; {instead}"


@lru_cache(maxsize=64)
def _compute_fingerprint(dataset: Photographs, root: Path, stamp: tuple[tuple[str, int, int], ...]) -> str:
    hashed = hashlib.sha256()
    for split in (Split.TEST, Split.TRAIN):
        names, labels = dataset.list_images(split)
        if split is Split.TRAIN and not names:
            continue
        chosen = dataset.choose_images(split)
        hashed.update(f"{split.value}/{len(chosen)}/".encode())
        if dataset.streamed:
            sizes = [(name, size) for name, size, _ in stamp]
            listed = [(names[index], None if labels is None else labels[index]) for index in chosen]
            hashed.update(repr((sizes, listed)).encode())
            continue
        parts, turned = [b""] * len(chosen), 0
        for slot, data in dataset._iterate_encoded(split, chosen):
            conversion = describe_conversion(data)
            turned += "orientation" in conversion
            stored = data.encode() if isinstance(data, str) else data
            parts[slot] = hashlib.sha256(stored).digest() + conversion.encode()
        for index, part in zip(chosen, parts, strict=True):
            hashed.update(f"{None if labels is None else labels[index]}/".encode() + part)
        notes = (*dataset.notes(split), *dataset._describe_turned(split, turned, len(chosen)))
        DecodedSplit((), (), notes, None).warn()
    return hashed.hexdigest()
