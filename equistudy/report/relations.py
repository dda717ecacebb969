"""Figures of relations: rank correlations of pretrained networks, and measures by depth or by angle."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equistudy.analysis.correlations import RankCorrelation
from equistudy.analysis.effect_test import Within
from equistudy.analysis.outcome import Outcome, as_outcome
from equistudy.analysis.table import StudyTable, level_value
from equistudy.measuring.measure import Measure
from equistudy.report.figures import ReportFigure, describe_interval_method
from equistudy.spec import format_label
from equistudy.study.design import Factor

if TYPE_CHECKING:
    from altair import TopLevelMixin
    from polars import DataFrame
else:
    # Study files name figures, so Polars and Altair are imported only when something is drawn.
    TopLevelMixin = DataFrame = Any

__all__ = ["AngleCurve", "DepthProfile", "RankScatter"]

DEPTH_THIRDS = ("early", "middle", "late")


@dataclass(frozen=True)
class RankScatter(ReportFigure):
    """The two numbers of a rank correlation, one dot per level, coloured by the factor that centres the correlation.

    The lines are a least-squares fit with a common slope b: y_f + b (x - x_f) for a family with means x_f and y_f,
    where b is fitted to the pairs minus these means.
    """

    claim: RankCorrelation

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The two outcomes."""
        return self.claim.outcomes

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors of the claim."""
        return self.claim.factors

    @property
    def title(self) -> str:
        """The titles of both outcomes."""
        first, second = self.outcomes
        return f"{first.title} against {second.title}{self.claim.within_text}"

    def frame(self, table: StudyTable) -> DataFrame:
        """Columns: the levels, x, y, fitted. Levels that lack a number are absent."""
        import polars as pl

        pairs = self.claim.pairs(table)
        within = self.claim.units[1:] or pl.lit(0)
        x, y = (pl.col(name) - pl.col(name).mean().over(within) for name in ("x", "y"))
        slope = (x * y).sum() / (x * x).sum()
        fitted = pl.col("y").mean().over(within) + slope * x
        return pairs.with_columns(fitted=fitted).sort("x")

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """Dots, and one line per family."""
        from equistudy.report.charts import draw_fitted_scatter

        first, second = self.outcomes
        return draw_fitted_scatter(frame, self.claim.centred, second.title, first.title)

    def caption(self, frame: DataFrame) -> str:
        """Spearman's rho over the levels, pooled and within families, because the two may differ in sign."""
        from equistudy.analysis.trends import format_rank_correlation, rank_correlation

        over, centred = self.claim.over.name, self.claim.centred
        ways: list[tuple[str, list[str]]] = [("pooled", [])]
        lines = ""
        if centred is not None:
            ways.append((f"within each {centred.name}", [centred.name]))
            lines = f" Lines: least-squares fit with one slope for all and an intercept for each {centred.name}."
        found = [(name, rank_correlation(frame, "x", "y", cells)) for name, cells in ways]
        texts = [f"{name} {format_rank_correlation(rho, 'levels')}" for name, rho in found if rho is not None]
        ranks = f" Spearman's rho with 95 % interval: {'; '.join(texts)}." if texts else ""
        return f"Each dot is a {over}.{lines}{ranks}"


@dataclass(frozen=True)
class DepthProfile(ReportFigure):
    """A measure in the first, second and last third of each network's feature maps, to compare different networks.

    A value is the mean over the elements, then over the stages in the third, for each level of `over`; the mean and its
    interval are over these levels. Depth runs from 0 at the input to 1 at the last measured feature map; vectors are
    left out.
    """

    y: Outcome | Measure
    over: Factor
    color: Factor | None = None
    within: Within = ()

    @property
    def factors(self) -> tuple[str, ...]:
        """The names of the factors that the figure shows or restricts."""
        return tuple(dict.fromkeys((*super().factors, *(factor.name for factor, _ in self.within))))

    @property
    def title(self) -> str:
        """The outcome, by relative depth."""
        place = "".join(f", at {factor.name} {format_label(level)}" for factor, level in self.within)
        return f"{self.outcomes[0].title} by relative depth{place}"

    def frame(self, table: StudyTable) -> DataFrame:
        """Columns: depth (early, middle or late), the colour's factor, value, low, high, n."""
        import polars as pl

        from equistudy.analysis.intervals import summarise_over_seeds

        own = {factor.name: factor for factor in table.study.design.factors}
        last = pl.col("depth").max().over("trial")
        place = pl.when(last > 0).then(pl.col("depth") / last).otherwise(0.0)
        third = (place * len(DEPTH_THIRDS)).floor().clip(0, len(DEPTH_THIRDS) - 1).cast(pl.Int64)
        rows = (
            as_outcome(self.y).measurement_rows(table).filter(pl.col("stride").is_not_null()).with_columns(third=third)
        )
        stages = rows.group_by("trial", "third", "stage").agg(pl.col("value").mean())
        thirds = stages.group_by("trial", "third").agg(pl.col("value").mean())
        values = table.design.join(thirds, on="trial", maintain_order="left")
        for factor, level in self.within:
            values = values.filter(pl.col(factor.name) == level_value(own[factor.name], level))
        by = ["third", *([] if self.color is None else [self.color.name])]
        levels = values.group_by(*by, self.over.name, maintain_order=True).agg(pl.col("value").mean())
        summary = summarise_over_seeds(levels, by, limits=as_outcome(self.y).limits).sort(by)
        names = pl.Series("depth", [DEPTH_THIRDS[index] for index in summary["third"]], dtype=pl.String)
        return summary.drop("third").with_columns(names, seed=pl.lit(None, dtype=pl.Int64))

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """Dots with error bars, side by side in their colours."""
        from equistudy.report.charts import draw_points

        return draw_points(frame, Factor("depth", DEPTH_THIRDS), self.color, self.outcomes[0].title)

    def caption(self, frame: DataFrame) -> str:
        """The method of the interval and its replicates."""
        counts = frame["n"].drop_nulls().unique().sort().to_list()
        shown = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        return (
            f"Mean over the feature maps in each third of the network, with 95 % t interval over {shown} levels of "
            f"{self.over.name}{'; one gives no interval' if counts[0] == 1 else ''}."
        )


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
