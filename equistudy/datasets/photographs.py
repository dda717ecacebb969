"""Compressed photographs of any size: decoded, cropped to squares of one size, and counted if unreadable."""

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

MAX_CORRUPT_SHARE = 0.2  # the fraction of unreadable images that is tolerated
PART_SIZE = 256  # compressed images in memory at a time
MAX_NAMED = 5  # images named in a message
KINDS = {Split.TRAIN: "training images", Split.TEST: "test images"}
IMAGENET_CLASSES = 1000  # without labels, a pretrained network keeps its classifier

Self = TypeVar("Self", bound="Photographs")


class Interpolation(Enum):
    """The filter for resizing, with timm's names. All are antialiased when shrinking."""

    BICUBIC = "bicubic"
    BILINEAR = "bilinear"
    LANCZOS = "lanczos"


class DatasetNote(UserWarning):
    """A warning about how images were found and decoded that readers of the results should know."""


class CorruptImages(DatasetNote):
    """A warning that some images could not be read and were left out; the message counts and names them."""


class ImageListing(NamedTuple):
    """The images of a split in a fixed order: names, and classes from 0 if there are any.

    An image without a class has -1.
    """

    names: tuple[str, ...]
    labels: tuple[int, ...] | None


class DecodedSplit(NamedTuple):
    """The result of decoding a split: the slots of the readable images, their targets, and warnings to issue."""

    slots: tuple[int, ...]
    targets: tuple[int, ...]
    notes: tuple[str, ...]
    corrupt: str | None

    def warn(self) -> None:
        """Issues the warnings, always from this line, so that a process shows each text once."""
        for note in self.notes:
            warnings.warn(note, DatasetNote, stacklevel=1)
        if self.corrupt is not None:
            warnings.warn(self.corrupt, CorruptImages, stacklevel=1)


@dataclass(frozen=True)
class Photographs(Dataset):
    """Base of the datasets of compressed images at `path`. The path is not part of the identity.

    Each image is rotated upright according to its EXIF orientation, resized with antialiasing (filter `interpolation`)
    so that its shorter side has `size` pixels, and cropped to its central square; with `squash` both sides are resized
    to `size` instead. Grey images become RGB, and images of more than 8 bits keep their range, see `datasets.decoding`.
    Unreadable images are left out with a warning that counts and names them; more than one in five is a ValueError.

    `train_size` and `test_size` keep the first images of `stratified_order` of their split. A dataset without a
    training split is for testing. `labels=False` ignores the classes, for instance if they are not those of the network
    to be measured; `num_classes` is then ImageNet's, as for images without labels. If only some images of a split have
    a class, the others are left out.

    `classes` names the order of the network's outputs, for images that show only some of its classes: "imagenet-1k",
    another of `class_lists.IMAGENET_LISTS`, or a file with one class name per line. It is not part of the identity, but
    the resulting class numbers are, through the fingerprint.

    With `streamed`, training images are never all in memory: they are read in parts and decoded while the network
    trains (`datasets.streaming`), and an unreadable image is replaced by its neighbour. Test images are kept in memory,
    so `test_size` should limit their number.

    `mean` and `std` are ImageNet's, which most published networks expect.
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
            raise ValueError(f"{type(self).__name__} needs the path of its images. Use {type(self).__name__}(path).")
        for name in ("size", "train_size", "test_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{type(self).__name__}.{name} must be at least 1, got {name}={value}.")

    @property
    def root(self) -> Path:
        """The path of the images."""
        assert self.path is not None
        return Path(self.path)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Three colour channels of `size` by `size` pixels."""
        return 3, self.size, self.size

    @property
    def has_labels(self) -> bool:
        """Whether the images in use have classes."""
        return self.list_images(Split.TEST).labels is not None

    @property
    def num_classes(self) -> int:  # type: ignore[override]  # other datasets know it without reading files
        """The number of classes over both splits, or in the list `classes` if one is named."""
        if self.classes is not None and self.labels:
            return len(read_class_order(self.classes))
        labels = [label for split in Split for label in self.list_images(split).labels or ()]
        return 1 + max(labels) if labels else IMAGENET_CLASSES

    def with_absolute_paths(self: Self) -> Self:
        """The same dataset with an absolute path, for a process with another working directory."""
        there = dataclasses.replace(self, path=str(self.root.absolute()))
        if self.classes is None or self.classes in IMAGENET_LISTS:
            return there
        return dataclasses.replace(there, classes=str(Path(self.classes).absolute()))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes in the order of their numbers; empty if labels have no names."""
        return ()

    def list_images(self, split: Split) -> ImageListing:
        """All images of a split, without reading them; without classes if `labels` is False."""
        raise NotImplementedError

    def read_encoded(self, split: Split, chosen: Sequence[int]) -> Iterator[bytes | str]:
        """The compressed images at these indices of the listing, in this order, or why one cannot be read."""
        raise NotImplementedError

    def notes(self, split: Split) -> tuple[str, ...]:
        """Notes on how the images of a split were found, which `load` issues as warnings."""
        labels = self.list_images(split).labels
        unlabelled = 0 if labels is None else labels.count(-1)
        if labels is None or not unlabelled:
            return ()
        what = f"{unlabelled} of {len(labels)} {KINDS[split]}"
        return (f"{self.root.absolute()}: {what} without a label were left out",)

    def part_sizes(self, split: Split) -> list[int]:
        """The sizes of the groups of images that are stored together, in the order of the listing: here 1 each."""
        return [1] * len(self.list_images(split).names)

    def fingerprint(self) -> str:
        """SHA-256 over the stored bytes and the labels of the images in use.

        Cached in the process until the size or modification time of a file changes. Reading streamed images would take
        hours, so their fingerprint covers only names, labels and file sizes.
        """
        return _compute_fingerprint(self, self.root.absolute(), self.stamp())

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and modification time of each file, which validate the cached fingerprint."""
        raise NotImplementedError

    def load(self, split: Split) -> Examples:
        """The readable images in use, on the CPU; without labels each target is -1."""
        import torch

        images = np.empty((len(self.choose_images(split)), *self.image_shape), np.uint8)
        found = self.decode_split(split, images.__setitem__)
        found.warn()
        if len(found.slots) < len(images):
            images = images[list(found.slots)]
        return Examples(torch.from_numpy(images), torch.tensor(found.targets))

    def decode_split(self, split: Split, take: Callable[[int, UInt8[np.ndarray, "3 S S"]], None]) -> DecodedSplit:
        """Decodes the images in use and calls `take(slot, image)` for each readable one, in any order."""
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
        """The compressed images with their indices among the chosen ones, in the order of storage."""
        slots = sorted(range(len(chosen)), key=lambda slot: chosen[slot])
        for start in range(0, len(slots), PART_SIZE):
            part = slots[start : start + PART_SIZE]
            yield from zip(part, self.read_encoded(split, [chosen[slot] for slot in part]), strict=True)

    def decode(self, data: bytes | str) -> UInt8[np.ndarray, "3 S S"] | str:
        """Decodes an image from `read_encoded` to the size of this dataset, or says why it cannot be read."""
        return decode_square(data, self.size, self.interpolation.value, self.squash)

    def choose_images(self, split: Split) -> list[int]:
        """The indices of the images in use: all in order, or a subset with proportional classes."""
        names, labels = self.list_images(split)
        wanted = self.train_size if split is Split.TRAIN else self.test_size
        if not names:
            what = "images" if split is Split.TEST else "training images"
            raise ValueError(f"{type(self).__name__} needs {what}, got none in {self.root}. {self.describe_remedy()}")
        usable = [place for place in range(len(names)) if labels is None or labels[place] >= 0]
        if wanted is None:
            return usable
        if wanted > len(usable):
            kind = "images" if len(usable) == len(names) else "images with labels"
            raise ValueError(
                f"{type(self).__name__}.{split.value}_size must be at most the number of {kind}, got "
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
        """The last sentence of an error about missing images."""
        raise NotImplementedError

    def report_corrupt(self, corrupt: Sequence[str], total: int, instead: str = "they are left out") -> None:
        """Warns of unreadable images. Raises ValueError if there are too many."""
        told = self.describe_corrupt(corrupt, total, instead)
        if told is not None:
            warnings.warn(told, CorruptImages, stacklevel=3)

    def describe_corrupt(self, corrupt: Sequence[str], total: int, instead: str = "they are left out") -> str | None:
        """A sentence that counts and names the unreadable images, or None. Raises ValueError if there are too many."""
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
