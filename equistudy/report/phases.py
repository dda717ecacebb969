"""The figure of a measure over the size of the shift, which shows how features respond to sub-stride shifts."""

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

__all__ = ["PhaseCurve"]


@dataclass(frozen=True)
class PhaseCurve(ReportFigure):
    """A measure over the size of the shift, with one line per feature map: what a stage loses at sub-stride shifts.

    A shift by a multiple of the stride takes cells to cells, where convolutional networks reach 1 whatever they
    learned. In between, the measure shows how smooth their features are. `Translation(S - 1)` contains every phase of a
    stride S, so that its mean over elements is the mean over phases. With `color`, there is one panel per stage.
    """

    y: Outcome | Measure
    color: Factor | None = None

    @property
    def title(self) -> str:
        """The outcome, over the shift."""
        return self._describe_by_factors(f"{self.outcomes[0].title} over the shift")

    def frame(self, table: StudyTable) -> DataFrame:
        """Columns: layer, stride, shift in pixels, aligned, the colour's factor, value, low, high, n.

        A value is the mean over the directions of one size; `aligned` means that all of them take cells to cells.
        """
        import polars as pl

        named = self.outcomes[0].stages
        chosen = pl.col("stride").is_not_null() if named is None else pl.col("stage").is_in(named)
        shifts = self.outcomes[0].measurement_rows(table).filter(chosen)
        shifts = shifts.drop_nulls("magnitude").rename({"stage": "layer", "magnitude": "shift"})
        place = ["layer", "shift"]
        sizes = shifts.group_by("trial", *place).agg(pl.col("value").mean())
        values = table.design.join(sizes, on="trial", maintain_order="left").drop_nulls("shift")
        aligned = pl.col("grid_aligned").all(ignore_nulls=False)
        known = shifts.group_by(place).agg(pl.col("stride").first(), pl.col("depth").mean(), aligned=aligned)
        means = self._summarise(values, [*place, *self.factors], table)[0].join(known, on=place)
        return means.sort("depth", "layer", *self.factors, "shift").drop("depth")

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """Lines with bands, and dots where cells move to cells."""
        from equistudy.report.charts import draw_phase_curves

        layers = Factor("layer", tuple(frame["layer"].unique(maintain_order=True)))
        color, panels = (layers, None) if self.color is None else (self.color, layers)
        return draw_phase_curves(frame, color, panels, self.outcomes[0].title)

    def caption(self, frame: DataFrame) -> str:
        """The method, the number of seeds, and the strides."""
        strides = frame.unique("layer", maintain_order=True).select("layer", "stride").iter_rows()
        told = ", ".join(f"{layer} {stride}" for layer, stride in strides)
        return (
            f"{describe_interval_method(frame)}. Dots: the shift is a multiple of the stride. Stride in pixels: {told}."
        )
