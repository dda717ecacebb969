"""What a dataset is: labelled images of one size in two splits, and a fingerprint of their bytes."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, NamedTuple

from jaxtyping import Int64, UInt8

from equistudy.spec import Spec, Tensor

__all__ = ["Dataset", "Examples", "Split"]


class Split(Enum):
    """Which part of a dataset: networks learn from TRAIN and are measured on TEST."""

    TRAIN = "train"
    TEST = "test"


class Examples(NamedTuple):
    """A split that fits into memory: 8-bit images and their class indices, on one device."""

    images: UInt8[Tensor, "N C H W"]
    targets: Int64[Tensor, " N"]


@dataclass(frozen=True)
class Dataset(Spec):
    """Base of the datasets.

    `mean` and `std` normalise images in [0, 1], one number per channel. `background` is the value in [0, 1] that
    continues the image beyond its border where that is the truth (black around a digit), or None where it is unknown.
    """

    num_classes: ClassVar[int]
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    background: ClassVar[float | None] = None

    def anchored(self) -> "Dataset":
        """The same dataset with absolute locations, to be sent to a process that runs in another directory."""
        return self

    @property
    def labelled(self) -> bool:
        """Whether there are classes. Without them each target is -1, networks are measured and none can be trained."""
        return True

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """A digest of the data itself, without torch: the same images and labels give the same text."""
        raise NotImplementedError

    def load(self, split: Split) -> Examples:
        """All examples of a split on the CPU, in a fixed order."""
        raise NotImplementedError
