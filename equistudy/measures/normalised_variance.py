"""How much features vary when an image moves, as a share of how much they vary between images."""

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
    """Invariance: the spread of a feature over the elements, over its spread over the images.

    NV_c = mean over images of the standard deviation over elements / mean over elements of that over images, averaged
    over the features that vary over images; the identity is one of the elements. 0: invariant; near 1: moving an image
    changes the feature as much as taking another, which is what the floor shows: somewhat below 1 for few elements, or
    if few images carry most of the spread. There is no upper bound. Vectors are taken feature by feature, maps by the
    means over their cells. The elements share one row.

    Source: the transformational measures of Quiroga et al. and their package tmeasures. Differs from it: a feature that
    does not vary over images is left out and counted, where theirs gives 1 or infinity; maps are averaged over their
    cells first; an interval and the same ratio for shuffled images stand beside the value.
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
