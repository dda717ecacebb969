"""The embedded default: the 1,797 handwritten digits that ship with scikit-learn."""

import gzip
import hashlib
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int64

from equistudy.datasets.arrays import ArrayDataset, DecodedArrays, stratified_order
from equistudy.datasets.dataset import Split
from equistudy.datasets.resizing import resize_square

__all__ = ["Digits"]

SOURCE_SIZE, SOURCE_MAXIMUM = 8, 16
NUM_TRAIN = 1200


@dataclass(frozen=True)
class Digits(ArrayDataset):
    """Handwritten digits of 8 x 8 pixels, enlarged to `digit` pixels and centred on a black square of `canvas` pixels.

    Translations and rotations lose nothing at the border, because everything beyond it is known to be black.
    Enlargement is bilinear (pixel centres at half integers, edges repeated) in integer arithmetic, so that every
    machine has the same bytes; the largest value, 16, becomes 255. The first 1,200 examples of `stratified_order` are
    for training and the other 597 for testing, with equal class proportions. Both splits contain the same writers, so
    accuracy is higher than on unseen writers. `mean` and `std` are those of the training split at the default sizes.

    Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), test part.

    >>> import equistudy as eq
    >>> eq.Digits(train_size=100).image_shape
    (1, 28, 28)
    """

    canvas: int = 28
    digit: int = 12

    num_classes: ClassVar[int] = 10
    mean: ClassVar[tuple[float, ...]] = (0.05601,)
    std: ClassVar[tuple[float, ...]] = (0.18155,)
    background: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        if self.digit < SOURCE_SIZE:
            raise ValueError(f"digit must be at least {SOURCE_SIZE}, the original size, got digit={self.digit}.")
        if self.canvas < self.digit or (self.canvas - self.digit) % 2:
            raise ValueError(
                f"The canvas must leave equal margins on both sides of the digit, got canvas={self.canvas}, "
                f"digit={self.digit}. Use canvas = digit + 2 * margin, for example canvas={self.digit + 16}."
            )
        super().__post_init__()

    @property
    def num_train(self) -> int:
        """The number of training examples in the whole set."""
        return NUM_TRAIN

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """One grey channel of `canvas` by `canvas` pixels."""
        return 1, self.canvas, self.canvas

    def files(self) -> tuple[Path, ...]:
        """The table inside scikit-learn, located without importing it, which would take more than a second."""
        found = importlib.util.find_spec("sklearn")
        if found is None or found.origin is None:
            raise ValueError(
                "Digits needs a data file of scikit-learn, which is not installed. Run: pip install scikit-learn"
            )
        return (Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz",)

    def fingerprint(self) -> str:
        """SHA-256 over the text of the table. Sizes and split are determined by the fields and this code."""
        return hashlib.sha256(gzip.decompress(self.files()[0].read_bytes())).hexdigest()

    def read(self, split: Split) -> DecodedArrays:
        """The whole split, enlarged and centred."""
        images, labels, order = _read_table(self.files()[0])
        kept = order[:NUM_TRAIN] if split is Split.TRAIN else order[NUM_TRAIN:]
        canvas = np.zeros((len(kept), *self.image_shape), dtype=np.uint8)
        margin = (self.canvas - self.digit) // 2
        inside = slice(margin, margin + self.digit)
        canvas[:, 0, inside, inside] = resize_square(images[kept], self.digit, SOURCE_MAXIMUM)
        return DecodedArrays(canvas, labels[kept])


@lru_cache(maxsize=1)
def _read_table(path: Path) -> tuple[Int64[np.ndarray, "N 8 8"], Int64[np.ndarray, " N"], list[int]]:
    """The original images, labels and their stratified order."""
    try:
        rows = np.array([line.split(b",") for line in gzip.decompress(path.read_bytes()).split()]).astype(np.int64)
        images, labels = rows[:, :-1].reshape(-1, SOURCE_SIZE, SOURCE_SIZE), rows[:, -1]
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(
            f"The digits must be a gzipped table of 65 integers per row, got {path} with {error}. "
            f"Reinstall scikit-learn."
        ) from error
    return images, labels, stratified_order(labels.tolist())
