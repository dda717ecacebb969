"""Correlation of f(g x) with g f(x), stage by stage."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float

from equistudy.measures.group_measure import GroupMeasure
from equistudy.measuring.families import KeptStatistic, Matching, MomentStatistic, StatisticKey
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject
from equistudy.spec import Tensor

if TYPE_CHECKING:
    from equistudy.measuring.comparison import ComparisonPlan
    from equistudy.measuring.geometry import Geometry
    from equistudy.measuring.moments import Moments
else:
    Geometry = Moments = ComparisonPlan = Any

__all__ = ["BetweenCorrelation", "MatchedCorrelation", "MomentMeasure", "TotalCorrelation", "WithinCorrelation"]

HIGH_FLOOR = 0.2


@dataclass(frozen=True)
class MomentMeasure(GroupMeasure, MomentStatistic):
    """Base of the measures that follow from the moments of a = f(g x) and b = g f(x) in each channel.

    For every stage and every element of `group`, the value is the mean over the channels that are not constant. Maps
    are compared on the cells visible in both, minus `erosion` cells at each border, which are affected by zero padding;
    every further convolution widens the affected border, so some of it remains in deep stages. Each value comes with
    the same number for shuffled images, for unmoved features and for the untrained network. An untrained network may
    already correlate near 1: the effect of training is the difference.
    """

    REVISION: ClassVar[int] = 4

    watch: ClassVar[KeptStatistic] = KeptStatistic.MOMENTS

    erosion: int = 1

    def __post_init__(self) -> None:
        if self.erosion < 0:
            raise ValueError(f"erosion is a number of cells of at least 0, got erosion={self.erosion}.")

    def is_applicable(self, geometry: Geometry) -> bool:
        """Whether the measure is defined at such a stage."""
        return geometry.grid is not None

    def plan_stage(self, stage: str, geometry: Geometry) -> tuple[ComparisonPlan | None, list[Skipped]]:
        """The elements with their comparable cells, and the elements with too few of them."""
        from equistudy.measuring.comparison import plan_stage

        return plan_stage(self.name, self.group, self.erosion, stage, geometry)

    def statistic_key(self, stage: str, plan: ComparisonPlan) -> StatisticKey:
        """The moments of the stage with this erosion."""
        return StatisticKey(stage, None if plan.regions is None else self.erosion, self.watch)

    def build_rows(self, stage: str, found: Any, untrained: Any, subject: Subject) -> MeasuringResult:
        """One row for each element that was compared."""
        from equistudy.measuring.rows import build_moment_rows

        return build_moment_rows(self, stage, found, untrained, subject)

    def floor_caveat(self, floor: float) -> str | None:
        """Correlations of unrelated images should be near 0."""
        return f"unrelated images already reach {floor:.2f}" if floor > HIGH_FLOOR else None


@dataclass(frozen=True)
class WithinCorrelation(MomentMeasure):
    """Equivariance of feature maps: correlation over positions, centred in each image and channel.

    rho_c = sum_n S_ab / sqrt(sum_n S_aa sum_n S_bb), S the centred products over the positions of image n. 1: the map
    moves with the image; 0: it does not. Blind to a channel's gain and offset, and to its mean over an image.

    Source: the correlation measure proposed by Bruintjes, Motyka and van Gemert 2023, arXiv:2304.02628. The choice of
    axes is this package's own: centring each image keeps invariance out of the measure of equivariance.
    """

    name: ClassVar[str] = "within_correlation"
    title: ClassVar[str] = "Equivariance (correlation within images)"

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """W_ab / sqrt(W_aa W_bb)."""
        from equistudy.measuring.moments import within_correlation

        return within_correlation(moments)

    def sums_of_squares(self, moments: Moments) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """W_aa and W_bb."""
        return moments.within_aa, moments.within_bb


@dataclass(frozen=True)
class BetweenCorrelation(MomentMeasure):
    """Invariance: correlation over images, per feature of a vector or per channel of a map averaged over its cells.

    rho_c = B_ab / sqrt(B_aa B_bb), B the products over images of the centred means. 1: features of transformed images
    follow those of the originals; 0: they are unrelated. The correlation is never over the features of one image, which
    reaches 0.95 even for unrelated images. It needs at least 32 different images.

    Source: as `WithinCorrelation`; the other half of the same analysis of variance, S = W + B.
    """

    name: ClassVar[str] = "between_correlation"
    title: ClassVar[str] = "Invariance (correlation between images)"

    def is_applicable(self, geometry: Geometry) -> bool:
        """Maps and vectors."""
        return True

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """B_ab / sqrt(B_aa B_bb)."""
        from equistudy.measuring.moments import between_correlation

        return between_correlation(moments)

    def sums_of_squares(self, moments: Moments) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """B_aa and B_bb."""
        return moments.between_aa, moments.between_bb


@dataclass(frozen=True)
class TotalCorrelation(MomentMeasure):
    """Equivariance and invariance combined: correlation over images and positions together, for feature maps.

    rho_c = S_ab / sqrt(S_aa S_bb) with S = W + B. It cannot tell the two apart: a map that is constant over each image
    counts as equivariant. Report it together with `WithinCorrelation` and `BetweenCorrelation`.

    Source: as `WithinCorrelation`.
    """

    name: ClassVar[str] = "total_correlation"
    title: ClassVar[str] = "Correlation over images and positions"

    def coefficient(self, moments: Moments) -> Float[Tensor, "*shape"]:
        """S_ab / sqrt(S_aa S_bb)."""
        from equistudy.measuring.moments import total_correlation

        return total_correlation(moments)

    def sums_of_squares(self, moments: Moments) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """S_aa and S_bb."""
        return moments.within_aa + moments.between_aa, moments.within_bb + moments.between_bb


@dataclass(frozen=True)
class MatchedCorrelation(WithinCorrelation):
    """Equivariance of feature maps when an element may act on the channels too: f(g x) against M_g g f(x).

    `WithinCorrelation` keeps channels fixed and therefore underestimates the equivariance of group convolutions. Here
    M_g is fitted per stage and element on the images with even indices, and the correlation is computed on the others,
    which `images` counts. 1: equivariant in some representation. Even a random convolution scores above 0, with LINEAR
    more than with PERMUTATION, so compare the value with that of the untrained network. The floor uses the same M_g.

    Source: Lenc and Vedaldi 2019, "Understanding image representations by measuring their equivariance and equivalence"
    (linear maps); Bokman and Kahl 2023, arXiv:2305.17017 (permutations). Differs from the former, who fit regularised
    maps over a neighbourhood of cells.
    """

    name: ClassVar[str] = "matched_correlation"
    title: ClassVar[str] = "Equivariance up to a map of the channels"
    shares_pass: ClassVar[bool] = False

    matching: Matching = Matching.PERMUTATION

    def measure(self, subject: Subject) -> MeasuringResult:
        """One row for each stage and element."""
        from equistudy.measuring.channel_matching import build_matched_rows

        return build_matched_rows(self, self.matching, subject)
