"""MNIST and Fashion-MNIST in their original IDX files."""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from equistudy.datasets.arrays import DecodedArrays
from equistudy.datasets.contents import read_content
from equistudy.datasets.dataset import Split
from equistudy.datasets.folder import FileLayout, FolderDataset, check_labels

__all__ = ["MNIST", "FashionMNIST", "read_idx"]


def _build_layout(archive: str, folder: str) -> FileLayout:
    train = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    return FileLayout(archive, folder, train, test=("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"))


@dataclass(frozen=True)
class MNIST(FolderDataset):
    """60,000 training and 10,000 test digits of 28 x 28 grey pixels, centred on black, in 10 classes.

    Reads the four IDX files, gzipped or not, also from a folder `MNIST/raw` as torchvision writes it.

    Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits.

    >>> import equistudy as eq
    >>> eq.MNIST(size=14).image_shape
    (1, 14, 14)
    """

    num_classes: ClassVar[int] = 10
    mean: ClassVar[tuple[float, ...]] = (0.1307,)
    std: ClassVar[tuple[float, ...]] = (0.3081,)
    background: ClassVar[float | None] = 0.0
    original_shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    usual_folder: ClassVar[str] = "mnist"
    fetch_name: ClassVar[str | None] = "mnist"
    layouts: ClassVar[tuple[FileLayout, ...]] = (_build_layout("the four .gz files of MNIST", "MNIST/raw"),)

    @property
    def num_train(self) -> int:
        """The number of training examples in the official set."""
        return 60_000

    def read(self, split: Split) -> DecodedArrays:
        """The whole split, decoded."""
        images_path, labels_path = self.find_layout().split_paths(split)
        images, labels = read_idx(images_path, 3)[:, None], read_idx(labels_path, 1).astype(np.int64)
        if images.shape[1:] != self.original_shape:
            raise ValueError(
                f"{type(self).__name__} needs images of 28 x 28 pixels, got {images.shape[2]} x {images.shape[3]} in "
                f"{images_path}. Check that the file belongs to this dataset."
            )
        if len(images) != len(labels):
            raise ValueError(
                f"Each image needs one label, got {len(images)} images in {images_path} and {len(labels)} labels in "
                f"{labels_path}. Copy both again."
            )
        check_labels(labels, self.num_classes, labels_path)
        return DecodedArrays(images, labels)


@dataclass(frozen=True)
class FashionMNIST(MNIST):
    """60,000 training and 10,000 test images of clothing, 28 x 28 grey pixels on black, in 10 classes.

    Many images touch the border; beyond it is black, because the originals were cut out on a plain background. Reads
    four IDX files with the same names as those of MNIST.

    Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.

    >>> import equistudy as eq
    >>> eq.FashionMNIST(train_size=3_000).image_shape
    (1, 28, 28)
    """

    mean: ClassVar[tuple[float, ...]] = (0.2860,)
    std: ClassVar[tuple[float, ...]] = (0.3530,)
    usual_folder: ClassVar[str] = "fashion-mnist"
    fetch_name: ClassVar[str | None] = "fashion-mnist"
    layouts: ClassVar[tuple[FileLayout, ...]] = (
        _build_layout("the four .gz files of Fashion-MNIST", "FashionMNIST/raw"),
    )


UNSIGNED_BYTES = 0x08


def read_idx(path: Path, num_axes: int) -> UInt8[np.ndarray, "..."]:
    """The array of unsigned bytes with `num_axes` axes in an IDX file, gzipped or not.

    The format is two zero bytes, the type, the number of axes, each size as a big-endian 32-bit integer, and the values
    in C order.
    """
    data = read_content(path)
    magic, header = struct.pack("4B", 0, 0, UNSIGNED_BYTES, num_axes), 4 + 4 * num_axes
    if data[:4] != magic:
        raise ValueError(
            f"An IDX file of unsigned bytes with {num_axes} axes must start with {magic.hex(' ')}, "
            f"got {data[:4].hex(' ') or 'nothing'} in {path}. Check that it is the original file."
        )
    if len(data) < header:
        raise ValueError(f"An IDX header must have {header} bytes, got {len(data)} in {path}. Copy it again.")
    shape = struct.unpack(f">{num_axes}I", data[4:header])
    if len(data) - header != math.prod(shape):
        raise ValueError(
            f"An IDX file of shape {shape} must hold {math.prod(shape)} values, got {len(data) - header} in {path}. "
            f"Copy it again."
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
