"""Datasets whose images are in memory: identified by their content, and passed to other processes as files."""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from equistudy.datasets.array_files import read_npz
from equistudy.datasets.arrays import ArrayDataset, DecodedArrays
from equistudy.datasets.dataset import Split
from equistudy.datasets.shared import get_shared_folder, remove_unused, write_shared

__all__ = ["SOURCE", "Content", "InMemoryDataset", "check_content"]

UNLABELLED_CLASSES = 1000  # as for photographs without labels, so that a pretrained network keeps its classifier
SOURCE = {"location": True, "source": True}  # metadata of fields that hold the data, whose digest is the identity

Self = TypeVar("Self", bound="InMemoryDataset")


class Content(NamedTuple):
    """The decoded splits; `train` may be None."""

    train: DecodedArrays | None
    test: DecodedArrays


@dataclass(frozen=True)
class InMemoryDataset(ArrayDataset):
    """Base of the datasets whose images are in memory. A dataset without a training split is for testing.

    The identity is the digest of the 8-bit images and the labels. Other processes read them from a temporary file,
    which exists only on this machine. `mean` and `std` default to the statistics of the training images in [0, 1], per
    channel; `background` is the value beyond the border of the images, if it is known.
    """

    mean: tuple[float, ...] = dataclasses.field(default=(), kw_only=True)  # type: ignore[misc]
    std: tuple[float, ...] = dataclasses.field(default=(), kw_only=True)  # type: ignore[misc]
    background: float | None = dataclasses.field(default=None, kw_only=True)  # type: ignore[misc]
    digest: str = dataclasses.field(default="", kw_only=True, repr=False)
    file: str | None = dataclasses.field(default=None, kw_only=True, metadata={"location": True}, compare=False)

    def __post_init__(self) -> None:
        if self.file is None:
            content = self._collect()
            object.__setattr__(self, "_kept", content)
            object.__setattr__(self, "digest", _compute_digest(content))
        images = (self._content.train or self._content.test).images
        for name, compute in (("mean", np.mean), ("std", np.std)):
            if not getattr(self, name):
                values = tuple(round(float(compute(images[:, channel]) / 255), 4) for channel in range(images.shape[1]))
                object.__setattr__(self, name, tuple(max(value, 1e-3) if name == "std" else value for value in values))
        if not len(self.mean) == len(self.std) == images.shape[1]:
            raise ValueError(
                f"mean and std must have one number per channel, got {len(self.mean)} and {len(self.std)} for "
                f"{images.shape[1]} channels. Omit them to use those of the images."
            )
        super().__post_init__()

    @property
    def num_train(self) -> int:
        """The number of training images."""
        return 0 if self._content.train is None else len(self._content.train.images)

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        """The number of classes over both splits."""
        labels = [part.labels for part in self._content if part is not None]
        most = max(int(each.max()) for each in labels)
        return 1 + most if most >= 0 else UNLABELLED_CLASSES

    @property
    def has_labels(self) -> bool:
        """Whether the images have classes."""
        return bool(self._content.test.labels[0] >= 0)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        channels, height, width = self._content.test.images.shape[1:]
        return channels, height, width

    def fingerprint(self) -> str:
        """The digest of the images and labels."""
        return self.digest

    def read(self, split: Split) -> DecodedArrays:
        """The whole split."""
        found = self._content.train if split is Split.TRAIN else self._content.test
        if found is None:
            raise ValueError(f"{type(self).__name__} needs training images, got only test images. Pass both splits.")
        return found

    def with_absolute_paths(self: Self) -> Self:
        """The same dataset with a file in place of its arrays, to be sent to another process."""
        if self.file is not None:
            return self
        given: dict[str, Any] = {field.name: None for field in dataclasses.fields(self) if field.metadata.get("source")}
        return dataclasses.replace(self, **given, file=str(_write_content(self._content, self.digest)))

    def _collect(self) -> Content:
        """The splits from the sources."""
        raise NotImplementedError

    @property
    def _content(self) -> Content:
        return self.__dict__["_kept"] if self.file is None else _read_content(self.file)


def check_content(content: Content) -> Content:
    """The splits, checked: all images have the same shape, and either all or none have classes."""
    train, test = content
    if train is not None and train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(
            f"Training and test images must have the same shape, got {train.images.shape[1:]} and "
            f"{test.images.shape[1:]}. Resize one of them."
        )
    unlabelled = {bool(value) for part in content if part is not None for value in np.unique(part.labels < 0)}
    if len(unlabelled) > 1:
        raise ValueError("Either all images or none must have a class, got both. Drop the images without a class.")
    if train is not None and unlabelled != {True}:
        absent = sorted(set(test.labels.tolist()) - set(train.labels.tolist()))
        if absent:
            raise ValueError(
                f"Every test class must occur in training, got class {absent[0]} only in the test split. "
                "Number the classes of both splits alike."
            )
    return content


def _compute_digest(content: Content) -> str:
    hashed = hashlib.sha256()
    for name, part in zip(("train", "test"), content, strict=True):
        if part is not None:
            hashed.update(f"{name}/{part.images.shape}/".encode())
            hashed.update(part.images.data)
            hashed.update(part.labels.astype("<i8").data)
    return hashed.hexdigest()[:16]


def _write_content(content: Content, digest: str) -> Path:
    """The file of the content, written once per machine."""
    folder = get_shared_folder()
    path = folder / f"{digest}.npz"
    if path.is_file():
        path.touch()
        return path
    remove_unused()
    arrays = {"test_images": content.test.images, "test_labels": content.test.labels}
    if content.train is not None:
        arrays |= {"train_images": content.train.images, "train_labels": content.train.labels}
    with write_shared(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    return path


@lru_cache(maxsize=4)
def _read_content(file: str) -> Content:
    path = Path(file)
    if not path.is_file():
        raise ValueError(
            f"Images in memory are passed to other processes in a file on the same machine, got no {path}. Run on the "
            "machine that holds the images, or save them and use a dataset that reads files."
        )
    path.touch()
    test = read_npz(path, ("test_images", "test_labels"), "Arrays")
    try:
        train = read_npz(path, ("train_images", "train_labels"), "Arrays")
    except ValueError:
        return Content(None, DecodedArrays(test["test_images"], test["test_labels"]))
    return Content(
        DecodedArrays(train["train_images"], train["train_labels"]),
        DecodedArrays(test["test_images"], test["test_labels"]),
    )
