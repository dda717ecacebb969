"""Invariance of single features: how much they vary, or how often they fire, over transformed versions of an image."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from equistudy.groups.group import Element
from equistudy.measures.group_measure import GroupMeasure
from equistudy.measuring.families import KeptStatistic, StatisticKey
from equistudy.measuring.measure import MeasuringResult, Skipped, Subject

if TYPE_CHECKING:
    from equistudy.measuring.comparison import ComparisonPlan
    from equistudy.measuring.geometry import Geometry
else:
    Geometry = ComparisonPlan = Any

__all__ = ["GoodfellowInvariance", "NormalisedVariance"]

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


HIGH_FLOOR = 3


@dataclass(frozen=True)
class GoodfellowInvariance(GroupMeasure):
    """Invariance of selective units: how much more often a unit fires for transformed versions of images that fire it.

    Unit i fires where s_i h_i(x) > t_i. The threshold t_i is such that it fires for `firing_rate` of the images, its
    global firing rate G_i. The local firing rate L_i is the share of all g x for which it fires, averaged over the
    images x for which it does. The score is S_i = L_i / G_i with the sign s_i for which that is larger, and the value
    is the mean score of the `top` share of the units with the highest scores. 1: whether a unit fires for x
    says nothing about g x, as for the floor, which transforms another image. 1 / `firing_rate`: invariant, the upper
    bound. At least 2 / `firing_rate` images are needed; with fewer than ten times as many, values are coarse. All
    elements are weighted equally and share one row. The interval is for the units that were chosen.

    ```python
    import torch
    import equistudy as eq

    images = torch.rand(400, 3, 16, 16)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    measure = eq.GoodfellowInvariance(eq.Translation(max_pixels=2), firing_rate=0.05)
    for row in eq.measure(network, images, measure).rows:
        print(row.stage, row.value, row.low, row.high, row.floor)
    ```

    Source: Goodfellow, Le, Saxe, Lee and Ng 2009, "Measuring invariances in deep networks", whose `firing_rate` and
    `top` are the defaults. Differs from it: signs and best units are chosen on one half of the images and scored on the
    other, because choosing and scoring on the same images biases the value upwards; x itself, for which the unit fires
    by definition, is not part of its trajectory; maps are averaged over their cells first; a unit with ties at its
    threshold, such as a ReLU that is 0 for nearly all images, has no score and is counted. Differs from tmeasures,
    which averages L over all images instead of those for which the unit fires.
    """

    name: ClassVar[str] = "goodfellow_invariance"
    title: ClassVar[str] = "Goodfellow's invariance score"
    watch: ClassVar[KeptStatistic] = KeptStatistic.FIRINGS

    firing_rate: float = 0.01
    top: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.firing_rate <= 1 / 2:
            raise ValueError(
                f"firing_rate is a share of the images of at most 1/2, got firing_rate={self.firing_rate}. Use 0.01."
            )
        if not 0 < self.top <= 1:
            raise ValueError(f"top is a share of the units, more than 0 and at most 1, got top={self.top}. Use 0.2.")

    def plan_stage(self, stage: str, geometry: Geometry) -> tuple[ComparisonPlan | None, list[Skipped]]:
        """All views, that of x included."""
        from equistudy.measuring.comparison import ComparisonPlan

        elements = (Element("identity", 0.0, ()), *self.group.elements())
        return ComparisonPlan(geometry, self.group, elements, tuple(range(len(elements))), None), []

    def statistic_key(self, stage: str, plan: ComparisonPlan) -> StatisticKey:
        """Sums of another firing rate are others."""
        return StatisticKey(stage, None, self.watch, self.firing_rate)

    def build_rows(self, stage: str, found: Any, untrained: Any, subject: Subject) -> MeasuringResult:
        """One row."""
        from equistudy.measuring.firings import build_firing_rows

        return build_firing_rows(self, stage, found, untrained, subject, self.top)

    def floor_caveat(self, floor: float) -> str | None:
        """Unrelated images should be near 1."""
        return f"unrelated images already reach {floor:.1f}" if floor > HIGH_FLOOR else None
