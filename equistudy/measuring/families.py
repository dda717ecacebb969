"""What a pass under one group keeps for the measures that share it, and what these must implement."""

from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from jaxtyping import Bool, Float

from equistudy.groups.group import Group
from equistudy.measuring.measure import Measure, MeasuringResult, Skipped, Subject
from equistudy.recipe import Precision
from equistudy.spec import Tensor

if TYPE_CHECKING:
    from equistudy.measuring.comparison import ComparisonPlan
    from equistudy.measuring.flow import Flow
    from equistudy.measuring.geometry import Geometry
    from equistudy.measuring.moments import Moments
else:
    Flow = Geometry = Moments = ComparisonPlan = Any

__all__ = [
    "FlowMeasure",
    "KeptStatistic",
    "Matching",
    "MomentStatistic",
    "PairedMeasure",
    "Scale",
    "StatisticKey",
]

ATANH_LIMIT = 1 - 1e-6  # nearer to 1, rounding in float32 decides the digits, which would make a width of many z
SMALLEST_POSITIVE = 1e-300


class Scale(Enum):
    """FISHER: atanh, for correlations. LOG: for errors, which are positive. LINEAR: as it is, for decibels."""

    FISHER = "fisher"
    LOG = "log"
    LINEAR = "linear"

    def transform(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The values on the scale, within what it can hold."""
        if self is Scale.FISHER:
            return values.clamp(-ATANH_LIMIT, ATANH_LIMIT).atanh()
        return values.clamp(min=SMALLEST_POSITIVE).log() if self is Scale.LOG else values

    def invert(self, scaled: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The values of what is on the scale."""
        if self is Scale.FISHER:
            return scaled.tanh()
        return scaled.exp() if self is Scale.LOG else scaled


class KeptStatistic(Enum):
    """What a pass keeps of a stage.

    MOMENTS: of f(g x) against g f(x). DIFFERENCES: moments of |f(g x) - g f(x)| against g f(x). SPREADS: over the
    elements and over the images. PREDICTIONS: the predicted class of each view. PRODUCTS: of each channel of f(g x)
    with each channel of g f(x). FIRINGS: all views of the images for which a feature is largest.
    """

    MOMENTS = "moments"
    DIFFERENCES = "differences"
    SPREADS = "spreads"
    PREDICTIONS = "predictions"
    PRODUCTS = "products"
    FIRINGS = "firings"


class StatisticKey(NamedTuple):
    """Which sums of a pass: those of a stage, with `erosion` cells left out (None where no cells are compared).

    `firing_rate` is the share of the images for which FIRINGS keep the views; None for all others.
    """

    stage: str
    erosion: int | None
    watch: KeptStatistic = KeptStatistic.MOMENTS
    firing_rate: float | None = None


class Matching(Enum):
    """How an element may act on the channels.

    PERMUTATION: each channel of f(g x) is one of g f(x), as in group convolutions; by the assignment with the largest
    sum of correlations. LINEAR: each is a combination of those of g f(x), as by a 1 x 1 convolution; by least squares.
    """

    PERMUTATION = "permutation"
    LINEAR = "linear"


class PairedMeasure(Measure):
    """Interface of the measures that compare a network's outputs for x and for g x.

    `measures.group_measure` has the specs. A measure whose `shares_pass` is False has its own passes; one with
    `of_output` uses only the network's output and no stage.
    """

    watch: ClassVar[KeptStatistic]
    shares_pass: ClassVar[bool] = True
    of_output: ClassVar[bool] = False

    group: Group
    precision: Precision

    def is_applicable(self, geometry: Geometry) -> bool:
        """Whether the measure is defined at such a stage."""
        return True

    def plan_stage(self, stage: str, geometry: Geometry) -> tuple[ComparisonPlan | None, list[Skipped]]:
        """What the pass compares at a stage, and the elements that it cannot compare."""
        raise NotImplementedError

    def statistic_key(self, stage: str, plan: ComparisonPlan) -> StatisticKey:
        """Which sums of the pass the measure reads."""
        return StatisticKey(stage, None, self.watch)

    def build_rows(self, stage: str, found: Any, untrained: Any, subject: Subject) -> MeasuringResult:
        """The rows of a stage from what the pass kept, of the network and of the untrained one where there is one."""
        raise NotImplementedError


class MomentStatistic(PairedMeasure):
    """Interface of the measures that follow from the moments of a = f(g x) and b = g f(x) in each channel.

    `scale` is the scale on which intervals are symmetric, and `limits` is the range to which values are clamped. Values
    with a `unit` have no ceiling, because the ceiling is computed from images in another unit.
    """

    scale: ClassVar[Scale] = Scale.FISHER
    limits: ClassVar[tuple[float, float]] = (-1, 1)
    unit: ClassVar[bool] = False

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """The value of each channel."""
        raise NotImplementedError

    def combine_channels(self, moments: Moments, live: Bool[Tensor, "*shape C"]) -> Float[Tensor, "*shape"]:
        """The value of a stage from the mean over the live channels; NaN where there is none."""
        import torch

        return self.transform_mean(torch.where(live, self.coefficient(moments), torch.nan).nanmean(dim=-1))

    def transform_mean(self, mean: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The value of a stage from the mean over its channels."""
        return mean

    def sums_of_squares(self, moments: Moments) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """The sums of squares of a and b by which the coefficient divides; a channel where they vanish has no value."""
        raise NotImplementedError


class FlowMeasure(Measure):
    """Interface of the measures that differentiate along one-parameter groups."""

    group: Group

    @property
    def edge(self) -> int:
        """How many cells are left out at each border of a map where content enters from outside."""
        return 0

    def flows(self) -> tuple[Flow, ...]:
        """The directions in which the group moves content."""
        raise NotImplementedError
