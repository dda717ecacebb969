"""CIFAR-10 and CIFAR-100 in their original files: the Python pickles or the binary version."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from equistudy.datasets.arrays import DecodedArrays
from equistudy.datasets.contents import read_content
from equistudy.datasets.dataset import Split
from equistudy.datasets.folder import FileLayout, FolderDataset, check_labels
from equistudy.datasets.restricted_pickle import read_pickle

__all__ = ["CIFAR10", "CIFAR100"]

VALUES_PER_IMAGE = 3 * 32 * 32


@dataclass(frozen=True)
class CIFAR10(FolderDataset):
    """50,000 training and 10,000 test colour photographs of 32 x 32 pixels in 10 classes.

    Reads cifar-10-batches-py, without executing the code that pickles may contain, or cifar-10-batches-bin. Both give
    the same examples in the same order, and so the same identity. `mean` and `std` are the usual ones of the training
    split.

    Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.

    >>> import equistudy as eq
    >>> eq.CIFAR10(train_size=1_000).image_shape
    (3, 32, 32)
    """

    num_classes: ClassVar[int] = 10
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)
    original_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    usual_folder: ClassVar[str] = "cifar10"
    fetch_name: ClassVar[str | None] = "cifar10"
    layouts: ClassVar[tuple[FileLayout, ...]] = (
        FileLayout(
            archive="cifar-10-python.tar.gz",
            folder="cifar-10-batches-py",
            train=tuple(f"data_batch_{k}" for k in range(1, 6)),
            test=("test_batch",),
        ),
        FileLayout(
            archive="cifar-10-binary.tar.gz",
            folder="cifar-10-batches-bin",
            train=tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
            test=("test_batch.bin",),
        ),
    )
    label_key: ClassVar[str] = "labels"
    label_bytes: ClassVar[int] = 1

    @property
    def num_train(self) -> int:
        """The number of training examples in the official set."""
        return 50_000

    def read(self, split: Split) -> DecodedArrays:
        """The whole split, decoded."""
        found = self.find_layout()
        decode = self._read_pickled if found.layout is self.layouts[0] else self._read_binary
        parts = [decode(path) for path in found.split_paths(split)]
        return DecodedArrays(
            np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts])
        )

    def _read_pickled(self, path: Path) -> DecodedArrays:
        """One pickle: a dict with the labels and `data`, one row per image with its red, green and blue planes."""
        batch = read_pickle(path)
        entries = {_decode_key(key): value for key, value in batch.items()} if isinstance(batch, dict) else {}
        data, labels = entries.get("data"), entries.get(self.label_key)
        if not isinstance(data, np.ndarray) or not isinstance(labels, list):
            raise ValueError(
                f"A pickle of {type(self).__name__} must be a dict with the array data and the list {self.label_key}, "
                f"got {type(batch).__name__} with {', '.join(sorted(entries)) or 'no entries'} in {path}. "
                f"Check that the file belongs to this dataset."
            )
        if data.shape != (len(labels), VALUES_PER_IMAGE) or not all(
            type(value) is int and abs(value) < 2**31 for value in labels
        ):
            raise ValueError(
                f"Each label must be an integer with a row of {VALUES_PER_IMAGE} values, "
                f"got {len(labels)} labels and data of shape {data.shape} in {path}. Copy it again."
            )
        return self._check_arrays(data, np.array(labels, dtype=np.int64), path)

    def _read_binary(self, path: Path) -> DecodedArrays:
        """One binary file: per image its labels, the last of which is used, then its red, green and blue planes."""
        data, record = np.frombuffer(read_content(path), dtype=np.uint8), self.label_bytes + VALUES_PER_IMAGE
        if len(data) % record:
            raise ValueError(
                f"A binary file of {type(self).__name__} must have {record} bytes per image, got {len(data)} bytes in "
                f"{path}, which is not a multiple. Copy it again."
            )
        rows = data.reshape(-1, record)
        return self._check_arrays(rows[:, self.label_bytes :], rows[:, self.label_bytes - 1].astype(np.int64), path)

    def _check_arrays(self, rows: np.ndarray, labels: np.ndarray, path: Path) -> DecodedArrays:
        check_labels(labels, self.num_classes, path)
        return DecodedArrays(rows.reshape(-1, *self.original_shape), labels)


@dataclass(frozen=True)
class CIFAR100(CIFAR10):
    """50,000 training and 10,000 test colour photographs of 32 x 32 pixels in 100 fine classes.

    Reads cifar-100-python or cifar-100-binary.

    Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """

    num_classes: ClassVar[int] = 100
    mean: ClassVar[tuple[float, ...]] = (0.5071, 0.4865, 0.4409)
    std: ClassVar[tuple[float, ...]] = (0.2673, 0.2564, 0.2762)
    usual_folder: ClassVar[str] = "cifar100"
    fetch_name: ClassVar[str | None] = "cifar100"
    layouts: ClassVar[tuple[FileLayout, ...]] = (
        FileLayout("cifar-100-python.tar.gz", "cifar-100-python", train=("train",), test=("test",)),
        FileLayout("cifar-100-binary.tar.gz", "cifar-100-binary", train=("train.bin",), test=("test.bin",)),
    )
    label_key: ClassVar[str] = "fine_labels"
    label_bytes: ClassVar[int] = 2


def _decode_key(key: object) -> str:
    return key.decode("ascii", "replace") if isinstance(key, bytes) else str(key)
