"""How much features vary under transformations, relative to how much they vary between images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from equistudy.groups.group import Element
from equistudy.measures.group_measure import GroupMeasure
from equistudy.measuring.families import KeptStatistic
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject

if TYPE_CHECKING:
    from equistudy.measuring.comparison import ComparisonPlan
    from equistudy.measuring.geometry import Geometry
else:
    Geometry = ComparisonPlan = Any

__all__ = ["NormalisedVariance"]

LOW_FLOOR = 0.5


@dataclass(frozen=True)
class NormalisedVariance(GroupMeasure):
    """Invariance: the standard deviation of a feature over the group, relative to its standard deviation over images.

    NV_c is the mean over images of the standard deviation over elements, divided by the mean over elements of the
    standard deviation over images. It is averaged over the features that vary over images; the identity counts as an
    element. 0: invariant. Near 1: transforming an image changes the feature as much as replacing the image. The floor
    shows the latter case; it lies somewhat below 1 if there are few elements, or if a few images carry most of the
    variance. There is no upper bound. Maps are averaged over their cells first. All elements share one row.

    Source: the transformational measures of Quiroga et al. and their package tmeasures. Differs from it: a feature that
    is constant over images is left out and counted instead of scoring 1 or infinity; maps are averaged over their cells
    first; the value comes with an interval and with the same ratio for shuffled images.
    """

    name: ClassVar[str] = "normalised_variance_error"
    title: ClassVar[str] = "Variation over the group, share of that over images"
    watch: ClassVar[KeptStatistic] = KeptStatistic.SPREADS

    def plan_stage(self, stage: str, geometry: Geometry) -> tuple[ComparisonPlan | None, list[Skipped]]:
        """All views, that of x included."""
        from equistudy.measuring.comparison import ComparisonPlan

        elements = (Element("identity", 0.0, ()), *self.group.elements())
        return ComparisonPlan(geometry, self.group, elements, tuple(range(len(elements))), None), []

    def build_rows(self, stage: str, found: Any, untrained: Any, subject: Subject) -> MeasuringResult:
        """One row."""
        from equistudy.measuring.spreads import build_spread_rows

        return build_spread_rows(self, stage, found, untrained, subject)

    def floor_caveat(self, floor: float) -> str | None:
        """Unrelated images should be near 1."""
        return f"unrelated images already come down to {floor:.2f}" if floor < LOW_FLOOR else None
