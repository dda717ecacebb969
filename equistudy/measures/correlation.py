"""How well f(g x) correlates with g f(x), stage by stage: the measures that one pass of moments serves."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float

from equistudy.measures.group_measure import GroupMeasure
from equistudy.measuring.families import KeptStatistic, MomentStatistic, StatisticKey
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject
from equistudy.spec import Tensor

if TYPE_CHECKING:
    from equistudy.measuring.comparison import ComparisonPlan
    from equistudy.measuring.geometry import Geometry
    from equistudy.measuring.moments import Moments
else:
    Geometry = Moments = ComparisonPlan = Any

__all__ = ["BetweenCorrelation", "MomentMeasure", "TotalCorrelation", "WithinCorrelation"]

HIGH_FLOOR = 0.2


@dataclass(frozen=True)
class MomentMeasure(GroupMeasure, MomentStatistic):
    """Base of the measures that follow from the moments of a = f(g x) and b = g f(x) in each channel.

    For every stage and every element of `group`, the value is the mean over the channels that vary. A stage is compared
    on the cells that both maps show, less `erosion` cells at each border, which the zeros of padded convolutions reach;
    each convolution of the network reaches further, so deep stages keep some of the border. Beside each value stand
    the same for shuffled images, for unmoved features and for the untrained network, whose correlation may be near 1
    too: what training did is the difference.
    """

    REVISION: ClassVar[int] = 4

    watch: ClassVar[KeptStatistic] = KeptStatistic.MOMENTS

    erosion: int = 1

    def __post_init__(self) -> None:
        if self.erosion < 0:
            raise ValueError(f"erosion is a number of cells of at least 0, got erosion={self.erosion}.")

    def is_applicable(self, geometry: Geometry) -> bool:
        """Whether the measure has a meaning at such a stage: it looks at positions, or vectors will do."""
        return geometry.grid is not None

    def plan_stage(self, stage: str, geometry: Geometry) -> tuple[ComparisonPlan | None, list[Skipped]]:
        """The elements with the cells that can be compared, and the elements that leave too few."""
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
    moves with the image; 0: it does not. Blind to gain and offset of a channel, and to what is constant over an image.

    Source: the correlation measure proposed by Bruintjes, Motyka and van Gemert 2023, arXiv:2304.02628. Their text was
    not at hand, so the axes are ours: centring in each image keeps invariance out of the measure of equivariance.
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
    """Invariance: correlation over images, of vectors feature by feature, of maps by the means over their cells.

    rho_c = B_ab / sqrt(B_aa B_bb), B the products over images of the centred means. 1: the features of the moved images
    follow those of the images; 0: they tell nothing about them. Never over the features of one image, where networks
    give 0.95 for unrelated images. Needs different images, 32 or more.

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
    """Equivariance and invariance mixed: correlation over images and positions together, for feature maps.

    rho_c = S_ab / sqrt(S_aa S_bb) with S = W + B. It cannot tell one from the other: a map that is constant over each
    image scores as equivariant. Report it beside `WithinCorrelation` and `BetweenCorrelation`.

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
