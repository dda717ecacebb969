"""What a dataset is: inputs of one shape with their targets in two splits, and a fingerprint of their bytes."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, NamedTuple

from jaxtyping import Float, Int64, UInt8

from equistudy.spec import Spec, Tensor

__all__ = ["Dataset", "Examples", "Modality", "Split", "Target"]


class Split(Enum):
    """Which part of a dataset: networks learn from TRAIN and are measured on TEST."""

    TRAIN = "train"
    TEST = "test"


class Modality(Enum):
    """What a network sees: images, or sets of points with features."""

    IMAGES = "images"
    POINTS = "points"


class Target(Enum):
    """What a network predicts; the shapes are those of a batch of targets.

    CLASS: a class index, [B]. NUMBERS: real numbers that stay when the input moves, [B K]. LABELS: a class index for
    each pixel, [B H W], which moves with the image. TRAJECTORY: what each point does over time, [B T P D], which moves
    with the points.
    """

    CLASS = "a class"
    NUMBERS = "numbers"
    LABELS = "a label for each pixel"
    TRAJECTORY = "a trajectory"


class Examples(NamedTuple):
    """A split that fits into memory, on one device: 8-bit images or points with D features, and their targets.

    Sets with fewer points than others are padded with rows of zeros.
    """

    inputs: UInt8[Tensor, "N C H W"] | Float[Tensor, "N P D"]
    targets: Int64[Tensor, " N"] | Float[Tensor, "N K"] | UInt8[Tensor, "N H W"] | Float[Tensor, "N T P D"]


@dataclass(frozen=True)
class Dataset(Spec):
    """Base of the datasets.

    `mean` and `std` normalise images in [0, 1], one number per channel. `background` is the value in [0, 1] that
    continues the image beyond its border where that is the truth (black around a digit), or None where it is unknown.
    `disjoint` says that no example may be in both splits; pictures that are drawn in only a few ways may.
    `void` is the label of pixels that belong to no class: they count in no loss and no score. `target_unit` is the
    unit of numbers, and `target_mean` and `target_std` are theirs, over the training split. `num_times` counts the
    times of a trajectory. The first features of a point are `vectors` vectors of `space` numbers: its position, then
    such as its momentum, which turn as it does but do not shift. The points of a trajectory have these alone.
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
        """The same dataset with absolute locations, to be sent to a process that runs in another directory."""
        return self

    @property
    def has_labels(self) -> bool:
        """Whether there are classes. Without them each target is -1, networks are measured and none can be trained."""
        return True

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        raise NotImplementedError

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: that of an image, or the most points of a set and their features."""
        return self.image_shape

    def fingerprint(self) -> str:
        """A digest of the data itself, without torch: the same images and labels give the same text."""
        raise NotImplementedError

    def load(self, split: Split) -> Examples:
        """All examples of a split on the CPU, in a fixed order."""
        raise NotImplementedError
