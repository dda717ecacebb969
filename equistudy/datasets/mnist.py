"""MNIST and Fashion-MNIST in their original IDX files."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from equistudy.datasets.arrays import DecodedArrays
from equistudy.datasets.dataset import Split
from equistudy.datasets.folder import FileLayout, FolderDataset, check_labels
from equistudy.datasets.idx import read_idx

__all__ = ["MNIST", "FashionMNIST"]


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
