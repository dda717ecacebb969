"""The figure of a measure over the angle by which images are rotated."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equistudy.analysis.outcome import Outcome
from equistudy.measuring.measure import Measure
from equistudy.report.figures import ReportFigure, describe_interval_method
from equistudy.study.design import Factor

if TYPE_CHECKING:
    from altair import TopLevelMixin
    from polars import DataFrame

    from equistudy.analysis.table import StudyTable
else:
    # Study files name figures, so Polars and Altair are imported only when something is drawn.
    TopLevelMixin = DataFrame = StudyTable = Any

__all__ = ["AngleCurve"]


@dataclass(frozen=True)
class AngleCurve(ReportFigure):
    """A measure over the angle by which images were rotated, with one panel per level of `panels`."""

    y: Outcome | Measure
    color: Factor | None = None
    panels: Factor | None = None

    @property
    def title(self) -> str:
        """The outcome, over the angle."""
        return self._describe_by_factors(f"{self.outcomes[0].title} over the angle")

    def frame(self, table: StudyTable) -> DataFrame:
        """Columns: angle in degrees, the shown factors, value, low, high, n."""
        import polars as pl

        rows = self.outcomes[0].measurement_rows(table).select("trial", angle="magnitude", value="value")
        values = table.design.join(rows.filter(pl.col("angle").is_not_null()), on="trial", maintain_order="left")
        by = ["angle", *self.factors]
        return self._summarise(values.drop_nulls("angle"), by, table)[0].sort(*self.factors, "angle")

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """Lines with bands, and grid lines at quarter turns."""
        from equistudy.report.charts import draw_angle_curves

        return draw_angle_curves(frame, self.color, self.panels, self.outcomes[0].title)

    def caption(self, frame: DataFrame) -> str:
        """The method and the number of seeds."""
        method = describe_interval_method(frame)
        return f"{method}. Angles are counter-clockwise; the axis is labelled at multiples of 90 degrees."
