"""Agreement of f(g x) with g f(x) including gain, offset and scale, to which correlations are blind."""

from dataclasses import dataclass
from math import inf, log10
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Bool, Float

from equistudy.measures.correlation import MomentMeasure
from equistudy.measuring.families import KeptStatistic, Scale
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject
from equistudy.spec import Tensor

if TYPE_CHECKING:
    from equistudy.measuring.comparison import ComparisonPlan
    from equistudy.measuring.geometry import Geometry
    from equistudy.measuring.moments import Moments
else:
    Geometry = Moments = ComparisonPlan = Any

__all__ = [
    "AbsoluteError",
    "AgreementMeasure",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "NormalisedError",
    "PeakSignalToNoise",
    "RelativeError",
    "SignalToNoise",
]

# Of unrelated features of one variance the normalised error is 2; 1.6 is what a correlation of 0.2 gives.
LOW_FLOOR = 1.6
LOW_RELATIVE_FLOOR = 0.5  # rectified noise of one variance gives 1.2
MAX_DECIBELS = 313.0  # what float64 can tell from equality: -20 log10 of its rounding


@dataclass(frozen=True)
class AgreementMeasure(MomentMeasure):
    """Base of the measures that pool images and positions, for feature maps and for vectors.

    For maps they measure equivariance; for vectors, on which the group acts trivially, invariance.
    """

    def is_applicable(self, geometry: Geometry) -> bool:
        """Maps and vectors."""
        return True

    def sums_of_squares(self, moments: Moments) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """S_aa and S_bb."""
        return moments.within_aa + moments.between_aa, moments.within_bb + moments.between_bb


@dataclass(frozen=True)
class ConcordanceCorrelation(AgreementMeasure):
    """Lin's concordance 2 S_ab / (S_aa + S_bb + n (mean a - mean b)^2): 1 only if f(g x) = g f(x).

    Unlike the correlations it falls with a changed gain or offset: a = 2 b + 3 has correlation 1, concordance 0.286.

    Source: Lin 1989, "A concordance correlation coefficient to evaluate reproducibility".
    """

    name: ClassVar[str] = "concordance_correlation"
    title: ClassVar[str] = "Concordance of f(g x) and g f(x)"

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """2 S_ab / (S_aa + S_bb + n (mean a - mean b)^2)."""
        from equistudy.measuring.moments import concordance_correlation

        return concordance_correlation(moments)


@dataclass(frozen=True)
class CosineSimilarity(AgreementMeasure):
    """Cosine of the angle between all values of f(g x) and of g f(x) in a channel: 1 is perfect.

    A common mean alone brings it near 1: unrelated rectified noise gives 1 / pi, and unrelated features whose mean is
    twice their standard deviation give 0.8. It therefore cannot compare layers or networks; it is included for
    comparison with published numbers. Constant channels are left out, although their cosine is defined.
    """

    name: ClassVar[str] = "cosine_similarity"
    title: ClassVar[str] = "Cosine of f(g x) and g f(x)"

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """The sum of a b over the roots of those of a^2 and b^2."""
        from equistudy.measuring.moments import cosine_similarity

        return cosine_similarity(moments)


@dataclass(frozen=True)
class NormalisedError(AgreementMeasure):
    """Mean of (f(g x) - g f(x))^2 over the variance of g f(x): 0 is perfect, 2 is what unrelated features give.

    With equal means and variances it equals 2 (1 - correlation). It rewards collapse: f(g x) = 0 scores 1, better than
    unrelated features, so report it next to a correlation.
    """

    name: ClassVar[str] = "normalised_error"
    title: ClassVar[str] = "Squared error, share of the variance"
    scale: ClassVar[Scale] = Scale.LOG
    limits: ClassVar[tuple[float, float]] = (0, inf)

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """Mean (a - b)^2 / var b."""
        from equistudy.measuring.moments import normalised_error

        return normalised_error(moments)

    def floor_caveat(self, floor: float) -> str | None:
        """Unrelated images should be near 2."""
        return f"unrelated images already come down to {floor:.2f}" if floor < LOW_FLOOR else None


@dataclass(frozen=True)
class SignalToNoise(AgreementMeasure):
    """The normalised error in decibels, -10 log10 mean (f(g x) - g f(x))^2 / var g f(x), channel by channel.

    Higher is better: unrelated features give -3 dB, and 20 dB is a normalised error of 0.01. Values are capped at 313
    dB, the precision of float64. Above 138 dB for float32 features, or 42 dB for bfloat16, differences are rounding
    errors, and the note of the row says so.
    """

    name: ClassVar[str] = "signal_to_noise"
    title: ClassVar[str] = "Signal to noise of g f(x) in f(g x), dB"
    scale: ClassVar[Scale] = Scale.LINEAR
    limits: ClassVar[tuple[float, float]] = (-inf, MAX_DECIBELS)

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """-10 log10 of the normalised error."""
        from equistudy.measuring.moments import normalised_error

        return -10 * normalised_error(moments).clamp(min=10 ** (-MAX_DECIBELS / 10)).log10()

    def build_rows(self, stage: str, found: Any, untrained: Any, subject: Subject) -> MeasuringResult:
        """One row for each element that was compared."""
        from equistudy.measuring.caveats import add_precision_caveats

        return add_precision_caveats(super().build_rows(stage, found, untrained, subject), subject, self.precision)

    def floor_caveat(self, floor: float) -> str | None:
        """Unrelated images should be near -3 dB."""
        high = -10 * log10(LOW_FLOOR)
        return f"unrelated images already reach {floor:.1f} dB" if floor > high else None


@dataclass(frozen=True)
class PeakSignalToNoise(MomentMeasure):
    """How exactly a network of images moves its output with its input, 10 log10(peak^2 / mean (f(g x) - g f(x))^2).

    In decibels; higher is better. Only the network's output is measured: features have no range of their own, and
    `SignalToNoise` uses their variance instead. `peak` is the range of the output, 2 for images in [-1, 1]. The mean is
    over images, over the cells visible on both sides, and over channels that are not constant. Values are capped at 313
    dB, the precision of float64. Above 138 dB for float32 outputs, or 42 dB for bfloat16, differences are rounding
    errors, and the note of the row says so.

    With integer shifts this is EQ-T, with `SubpixelTranslation` in windows EQ-T_frac, and with `Rotation` EQ-R.

    Source: Karras et al. 2021, "Alias-free generative adversarial networks", arXiv:2106.12423. Differs from the
    authors' code, which draws one shift or angle per batch: here every image is compared at every element, and outputs
    are rotated bilinearly instead of by a band-limiting filter on both sides, so EQ-R is lower.
    """

    name: ClassVar[str] = "peak_signal_to_noise"
    title: ClassVar[str] = "Peak signal to noise of g f(x) in f(g x), dB"
    of_output: ClassVar[bool] = True
    scale: ClassVar[Scale] = Scale.LINEAR
    limits: ClassVar[tuple[float, float]] = (-inf, MAX_DECIBELS)
    unit: ClassVar[bool] = True

    peak: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.peak < inf:
            raise ValueError(f"peak is the range of the output, a positive number, got peak={self.peak}.")

    def is_applicable(self, geometry: Geometry) -> bool:
        """Every output; `plan_stage` explains what is wrong with one that is not a map."""
        return True

    def plan_stage(self, stage: str, geometry: Geometry) -> tuple[ComparisonPlan | None, list[Skipped]]:
        """The elements to compare, if the output is an image."""
        if geometry.grid is None:
            reason = f"it is a vector of {geometry.channels} numbers, not an image"
            return None, [Skipped(self.name, "output", None, reason)]
        return super().plan_stage("output", geometry)

    def build_rows(self, stage: str, found: Any, untrained: Any, subject: Subject) -> MeasuringResult:
        """One row for each element, of the network's output."""
        from equistudy.measuring.caveats import add_precision_caveats

        result = super().build_rows(subject.output, found, untrained, subject)
        return add_precision_caveats(result, subject, self.precision)

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """Mean (a - b)^2."""
        from equistudy.measuring.moments import squared_error

        return squared_error(moments)

    def transform_mean(self, mean: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The mean relative to the squared peak, in decibels."""
        return -10 * (mean / self.peak**2).clamp(min=10 ** (-MAX_DECIBELS / 10)).log10()

    def sums_of_squares(self, moments: Moments) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """S_aa and S_bb."""
        return moments.within_aa + moments.between_aa, moments.within_bb + moments.between_bb

    def floor_caveat(self, floor: float) -> str | None:
        """No caveat: the floor depends on how much of the range the images fill."""
        return None


@dataclass(frozen=True)
class RelativeError(AgreementMeasure):
    """The relative L2 error of a stage, sqrt(sum (f(g x) - g f(x))^2 / sum (g f(x))^2), over all channels together.

    0 is perfect, and the rounding of float32 leaves about 1e-7; sqrt(2) is what unrelated features with mean 0 give.
    With `ChannelAction.REGULAR` the group rolls the group axis of group convolutions too: over
    `CyclicGroup(4, ChannelAction.REGULAR)` this is the equivariance error of a group CNN at each depth, of which
    `AbsoluteError` is the form with absolute values.

    Source: Edixhoven, Lengyel and van Gemert 2023, "Using and abusing equivariance", arXiv:2308.11316; relative, so
    that depths and networks can be compared. Differs from the authors' code, which sums over the elements: each has its
    own row.
    """

    name: ClassVar[str] = "relative_error"
    title: ClassVar[str] = "Relative error of g f(x)"
    scale: ClassVar[Scale] = Scale.LOG
    limits: ClassVar[tuple[float, float]] = (0, inf)

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """The square of that of each channel alone."""
        from equistudy.measuring.moments import squared_error

        return moments.pairs * squared_error(moments) / self._sum_squares(moments)

    def combine_channels(self, moments: Moments, live: Bool[Tensor, "*shape C"]) -> Float[Tensor, "*shape"]:
        """The root of the sum of the squared errors over that of the squares."""
        squares = self._sum_squares(moments) * live
        errors = (self.coefficient(moments) * self._sum_squares(moments)).nan_to_num() * live
        return (errors.sum(dim=-1) / squares.sum(dim=-1)).sqrt()

    def _sum_squares(self, moments: Moments) -> Float[Tensor, "*shape"]:
        return moments.within_bb + moments.between_bb + moments.pairs * moments.mean_b.square()

    def sums_of_squares(self, moments: Moments) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """S_bb twice: a channel counts if g f(x) varies, whatever f(g x) does."""
        spread = moments.within_bb + moments.between_bb
        return spread, spread

    def floor_caveat(self, floor: float) -> str | None:
        """Unrelated images should be near sqrt(2), less where features have a common mean."""
        return f"unrelated images already come down to {floor:.2f}" if floor < LOW_RELATIVE_FLOOR else None


@dataclass(frozen=True)
class AbsoluteError(AgreementMeasure):
    """Mean of |f(g x) - g f(x)|, in the features' own units: 0 is perfect.

    It depends on the scale of the features, so it can only compare the same network across elements.

    Source: Edixhoven, Lengyel and van Gemert 2023, "Using and abusing equivariance", arXiv:2308.11316. Differs from
    the authors' code, which sums over the elements and divides a mean by the batch size once more.
    """

    name: ClassVar[str] = "absolute_error"
    title: ClassVar[str] = "Mean absolute error"
    watch: ClassVar[KeptStatistic] = KeptStatistic.DIFFERENCES
    scale: ClassVar[Scale] = Scale.LOG
    limits: ClassVar[tuple[float, float]] = (0, inf)

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """The mean of a, which here is |f(g x) - b|."""
        return moments.mean_a

    def sums_of_squares(self, moments: Moments) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """S_bb twice: a channel counts if g f(x) varies, however small the differences are."""
        spread = moments.within_bb + moments.between_bb
        return spread, spread

    def floor_caveat(self, floor: float) -> str | None:
        """No caveat: without a scale no floor is too low."""
        return None
