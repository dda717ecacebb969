"""The base of all datasets: inputs of one shape with targets, in two splits, and a fingerprint of their bytes."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, NamedTuple

from jaxtyping import Float, Int64, UInt8

from equistudy.spec import Spec, Tensor

__all__ = ["Dataset", "Examples", "Modality", "Split", "Target"]


class Split(Enum):
    """A part of a dataset: networks are trained on TRAIN and measured on TEST."""

    TRAIN = "train"
    TEST = "test"


class Modality(Enum):
    """The kind of input: images, or sets of points with features."""

    IMAGES = "images"
    POINTS = "points"


class Target(Enum):
    """What a network predicts, with the shape of a batch of targets.

    CLASS: a class index, [B]. NUMBERS: real numbers that are invariant to moving the input, [B K]. LABELS: a class
    index per pixel, [B H W], which moves with the image. TRAJECTORY: the state of each point over time, [B T P D],
    which moves with the points.
    """

    CLASS = "a class"
    NUMBERS = "numbers"
    LABELS = "a label for each pixel"
    TRAJECTORY = "a trajectory"


class Examples(NamedTuple):
    """A split in the memory of one device: 8-bit images or points with D features, and their targets.

    Smaller sets of points are padded with rows of zeros.
    """

    inputs: UInt8[Tensor, "N C H W"] | Float[Tensor, "N P D"]
    targets: Int64[Tensor, " N"] | Float[Tensor, "N K"] | UInt8[Tensor, "N H W"] | Float[Tensor, "N T P D"]


@dataclass(frozen=True)
class Dataset(Spec):
    """Base of the datasets.

    `mean` and `std` normalise images in [0, 1], one number per channel. `background` is the value in [0, 1] of pixels
    beyond the border if that is known (black around a digit), and None otherwise. `disjoint` says that the splits share
    no example; generated pictures with few variants may share some. `void` is the label of pixels without a class,
    which enter no loss and no score. `target_unit` is the unit of targets that are numbers, and `target_mean` and
    `target_std` are their statistics over the training split. `num_times` is the number of time steps of a trajectory.
    The first features of a point are `vectors` vectors of `space` components: its position, followed by quantities such
    as its momentum, which rotate with it but do not translate. The points of a trajectory have only these features.
    """

    modality: ClassVar[Modality] = Modality.IMAGES
    target: ClassVar[Target] = Target.CLASS
    void: ClassVar[int | None] = None
    disjoint: ClassVar[bool] = True
    target_unit: ClassVar[str] = ""
    target_mean: ClassVar[float] = 0.0
    target_std: ClassVar[float] = 1.0
    num_times: ClassVar[int] = 0
    space: ClassVar[int] = 0
    vectors: ClassVar[int] = 0
    num_classes: ClassVar[int]
    mean: ClassVar[tuple[float, ...]] = ()
    std: ClassVar[tuple[float, ...]] = ()
    background: ClassVar[float | None] = None

    def with_absolute_paths(self) -> "Dataset":
        """The same dataset with absolute paths, for a process with another working directory."""
        return self

    @property
    def has_labels(self) -> bool:
        """Whether there are classes. Without them every target is -1, and networks can be measured but not trained."""
        return True

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of every image."""
        raise NotImplementedError

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: that of an image, or (most points of a set, features)."""
        return self.image_shape

    def fingerprint(self) -> str:
        """A digest of the data itself, computed without torch: equal images and labels have equal digests."""
        raise NotImplementedError

    def load(self, split: Split) -> Examples:
        """All examples of a split on the CPU, in a fixed order."""
        raise NotImplementedError
