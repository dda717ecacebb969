"""Datasets that fit in memory as arrays: balanced subsets, fingerprints, and conversion to tensors."""

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from equistudy.datasets.dataset import Dataset, Examples, Split
from equistudy.spec import added_field

__all__ = ["ArrayDataset", "DecodedArrays", "stratified_order"]


class DecodedArrays(NamedTuple):
    """A decoded split: 8-bit images and labels from 0."""

    images: UInt8[np.ndarray, "N C H W"]
    labels: Int64[np.ndarray, " N"]


def stratified_order(labels: Iterable[int]) -> list[int]:
    """A fixed permutation in which every prefix contains each class in proportion, up to one example.

    Within a class, examples are ordered by SHA-256 of the index, which does not depend on the version of a random
    generator. The r-th of the n examples of a class gets the key (r + 1/2) / n; ties are broken by the same hash.
    """
    members: dict[int, list[tuple[bytes, int]]] = {}
    for index, value in enumerate(labels):
        members.setdefault(int(value), []).append((hashlib.sha256(str(index).encode()).digest(), index))
    places = []
    for group in members.values():
        for rank, (mark, index) in enumerate(sorted(group)):
            places.append(((rank + 0.5) / len(group), mark, index))
    return [index for _, _, index in sorted(places)]


_cached_fingerprints: dict[tuple[object, ...], tuple[str, int]] = {}


@dataclass(frozen=True)
class ArrayDataset(Dataset):
    """Base of the datasets that are read as a whole.

    `train_size` keeps the first training examples of a fixed stratified order, so that each smaller set is contained
    in every larger one and has the same class proportions. `test_size` does so for testing. None keeps all.
    """

    train_size: int | None = dataclasses.field(default=None, kw_only=True)
    test_size: int | None = added_field(None)

    def __post_init__(self) -> None:
        self._check_sizes(self.num_train)

    @property
    def num_train(self) -> int:
        """The number of training examples in the official set."""
        raise NotImplementedError

    def files(self) -> tuple[Path, ...]:
        """The files that hold the data, in whichever accepted format is present."""
        raise NotImplementedError

    def read(self, split: Split) -> DecodedArrays:
        """The whole split, decoded. Raises ValueError, naming the file, if one does not follow its format."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """SHA-256 over the decoded images and labels: the same for every format and compression.

        Cached in the process until the path, size or modification time of a file changes.
        """
        stats = [(str(path.absolute()), path.stat()) for path in self.files()]
        key = (type(self), *((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))
        if key not in _cached_fingerprints:
            hashed = hashlib.sha256()
            for split in (Split.TEST, Split.TRAIN):
                images, labels = self.read(split)
                hashed.update(f"{split.value}/{images.shape}/".encode())
                hashed.update(np.ascontiguousarray(images).data)
                hashed.update(labels.astype("<i8").data)
            _cached_fingerprints[key] = hashed.hexdigest(), len(labels)
        text, num_train = _cached_fingerprints[key]
        self._check_sizes(num_train)
        return text

    def load(self, split: Split) -> Examples:
        """All examples of a split on the CPU, in the order of the files, or of `stratified_order` for a subset."""
        import torch

        images, labels = self.read(split)
        size = self.train_size if split is Split.TRAIN else self.test_size
        if size is not None:
            self._check_size(split, size, len(labels))
            kept = stratified_order(labels.tolist())[:size]
            images, labels = images[kept], labels[kept]
        return Examples(torch.tensor(self.resize_images(images)), torch.tensor(labels))

    def resize_images(self, images: UInt8[np.ndarray, "N C H W"]) -> UInt8[np.ndarray, "N C h w"]:
        """The images as networks see them: unchanged, unless the dataset resizes them."""
        return images

    def _check_sizes(self, num_train: int) -> None:
        """Checks the sizes that can be checked without reading the test split."""
        for split, size, most in ((Split.TRAIN, self.train_size, num_train), (Split.TEST, self.test_size, None)):
            if size is not None:
                self._check_size(split, size, most)

    def _check_size(self, split: Split, size: int, most: int | None) -> None:
        if size < self.num_classes or (most is not None and size > most):
            bounds = f"at least {self.num_classes}" if most is None else f"{self.num_classes} to {most}"
            raise ValueError(
                f"{type(self).__name__}.{split.value}_size must lie between one example per class and the whole split, "
                f"got {split.value}_size={size}. Use {bounds}, or None for all."
            )
