"""Figures as specs: each computes a frame of numbers, and draws a chart of that frame."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import inf
from typing import TYPE_CHECKING, Any

from equistudy.analysis.outcome import Outcome, Quantity, Reference, as_outcome
from equistudy.measuring.measure import Measure
from equistudy.spec import CheckedFields
from equistudy.study.design import Factor, suggest_names

if TYPE_CHECKING:
    from altair import TopLevelMixin
    from polars import DataFrame

    from equistudy.analysis.table import StudyTable
else:
    # Study files name figures, so Polars and Altair are imported only when something is drawn.
    TopLevelMixin = DataFrame = StudyTable = Any

__all__ = ["Curve", "LayerProfile", "LearningCurve", "ReportFigure", "Scatter", "describe_interval_method"]

TRAINED, UNTRAINED, FLOOR, CEILING = "trained", "untrained", "shuffled pairs", "ceiling"
REFERENCES = {  # their explanations in captions
    UNTRAINED: "dashed: before training",
    FLOOR: "dotted: shuffled pairs of images",
    CEILING: "dash-dotted: the highest value that interpolating the feature map permits, even for exact equivariance",
}


@dataclass(frozen=True)
class ReportFigure(CheckedFields):
    """Base of the figures. `frame` computes all numbers, `draw` maps its columns to marks and computes nothing.

    Within each seed, values are averaged over factors that a figure does not show.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            for wanted, kind, example in (
                (Factor, "Factor", "the factor of the design itself"),
                (Quantity, "measure or an Outcome", "a measure such as Accuracy()"),
            ):
                optional = value is None and field.type != wanted
                if field.type in (wanted, wanted | None) and not optional and not isinstance(value, wanted):
                    name = f"{type(self).__name__}.{field.name}"
                    raise TypeError(f"{name} must be a {kind}, got {value!r}. Use {example}.")

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes that the figure shows."""
        return tuple(as_outcome(value) for value in self._field_values() if isinstance(value, Quantity))

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that the figure shows."""
        return tuple(measure for outcome in self.outcomes for measure in outcome.measures)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the trials table that the figure needs."""
        return tuple(column for outcome in self.outcomes for column in outcome.columns)

    @property
    def factors(self) -> tuple[str, ...]:
        """The names of the factors that the figure shows, each once."""
        return tuple(dict.fromkeys(value.name for value in self._field_values() if isinstance(value, Factor)))

    @property
    def title(self) -> str:
        """A heading."""
        raise NotImplementedError

    def frame(self, table: StudyTable) -> DataFrame:
        """The numbers that the figure shows."""
        raise NotImplementedError

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """The chart of those numbers."""
        raise NotImplementedError

    def caption(self, frame: DataFrame) -> str:
        """What the marks mean, including the interval and its number of seeds."""
        raise NotImplementedError

    def _field_values(self) -> Iterator[Any]:
        return (getattr(self, field.name) for field in fields(self))

    def _describe_by_factors(self, what: str) -> str:
        return f"{what} by {' and '.join(self.factors)}" if self.factors else what

    def _summarise(self, values: DataFrame, by: list[str], table: StudyTable) -> tuple[DataFrame, DataFrame]:
        """The mean and interval of each cell of `by`, and the values of the seeds."""
        from equistudy.analysis.intervals import average_per_seed, summarise_over_seeds

        seeds = average_per_seed(values, by=by, over=[name for name in table.factors if name not in self.factors])
        return summarise_over_seeds(seeds, by, limits=self._limits), seeds

    @property
    def _limits(self) -> tuple[float, float]:
        """The smallest and largest possible value."""
        return self.outcomes[0].limits


def describe_interval_method(frame: DataFrame) -> str:
    """The method of the interval and the number of seeds, as the start of a caption."""
    counts = frame["n"].drop_nulls().unique().sort().to_list()
    if counts == [1]:
        return "One seed, so there is no interval"
    seeds = counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    # intervals of two seeds can be far longer than the plot
    cut = " (cut off at the edge of the plot)" if counts[0] == 2 else ""
    return f"Mean with 95 % t interval over {seeds} seeds{cut}"


@dataclass(frozen=True)
class Curve(ReportFigure):
    """An outcome over a factor: the mean over seeds with its interval, and each seed as a small dot.

    >>> import equistudy as eq
    >>> eq.Curve(y=eq.Accuracy(), x=eq.Factor("width", (4, 8), log=True)).title
    'Accuracy by width'
    """

    y: Quantity
    x: Factor
    color: Factor | None = None

    @property
    def title(self) -> str:
        """The outcome and the factors."""
        return self._describe_by_factors(self.outcomes[0].title)

    def frame(self, table: StudyTable) -> DataFrame:
        """Columns: the shown factors, value, low, high, n, seed. A row without seed is the mean over the seeds."""
        from polars import concat

        means, seeds = self._summarise(self.outcomes[0].values_per_trial(table), [*self.factors], table)
        return concat([means, seeds], how="diagonal").sort(*self.factors, "seed")

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """A line with a band for numbers; dots with error bars for categories, side by side in their colours."""
        from equistudy.report.charts import draw_curve, draw_points

        return (draw_curve if self.x.is_numeric else draw_points)(frame, self.x, self.color, self.outcomes[0].title)

    def caption(self, frame: DataFrame) -> str:
        """The method and the number of seeds."""
        return f"{describe_interval_method(frame)}; small dots are single seeds."


@dataclass(frozen=True)
class LayerProfile(ReportFigure):
    """A measure at every stage of the network, from the input to the output, with its floor and ceiling.

    Dashed: the network before training. Dotted: the floor, from shuffled pairs of images. Dash-dotted: the ceiling, the
    value of a perfectly equivariant layer where elements move by fractions of a cell. Small dots are seeds. Vectors at
    the end of the network can only be invariant, so they are not joined to the feature maps.

    >>> import equistudy as eq
    >>> eq.LayerProfile(y=eq.WithinCorrelation(eq.Translation(max_pixels=4))).title
    'Equivariance (correlation within images) under Translation along the network'
    """

    y: Outcome | Measure
    color: Factor | None = None

    @property
    def title(self) -> str:
        """The outcome, along the network."""
        return self._describe_by_factors(f"{self.outcomes[0].title} along the network")

    def frame(self, table: StudyTable) -> DataFrame:
        """Columns: stage, vector, series, the colour's factor, value, low, high, n, seed, stage_depth.

        `series` is trained, untrained, shuffled pairs or ceiling; `stage_depth` runs from 0 at the input to 1 at the
        output. A row without seed is the mean over the seeds.
        """
        import polars as pl

        rows = self._add_ceiling(self.outcomes[0].measurement_rows(table)).with_columns(
            vector=pl.col("stride").is_null()
        )
        names = {"value": TRAINED, "untrained": UNTRAINED, "floor": FLOOR, "ceiling": CEILING}
        lines = rows.rename(names).unpivot(
            [*names.values()], index=["trial", "stage", "vector"], variable_name="series"
        )
        values = table.design.join(lines.filter(pl.col("value").is_finite()), on="trial", maintain_order="left")
        means, seeds = self._summarise(values, ["stage", "vector", "series", *self.factors], table)
        depths = rows.group_by("stage").agg(stage_depth=pl.col("depth").mean())
        shown = pl.concat([means, seeds.filter(series=TRAINED)], how="diagonal").join(depths, on="stage")
        return shown.sort("stage_depth", "stage", *self.factors, "series", "seed")

    def _add_ceiling(self, rows: DataFrame) -> DataFrame:
        """Adds the ceiling to all elements of a stage that has one at any element, and to no other stages.

        Where cells move to cells nothing is interpolated, so the ceiling is 1. Without it, the mean of the ceiling
        would be over fewer elements than that of the value.
        """
        import polars as pl

        of = self.outcomes[0]
        if "ceiling" not in rows.columns or of.reference not in (None, Reference.NONE):
            return rows.with_columns(ceiling=pl.lit(None, pl.Float64))
        perfect = 1.0 if of.measure.name.endswith("correlation") else None
        known = pl.coalesce("ceiling", pl.when("grid_aligned").then(pl.lit(perfect, pl.Float64)))
        stage = ["trial", "stage"]
        everywhere = (known.count() == pl.len()).over(stage) & (pl.col("ceiling").count() > 0).over(stage)
        return rows.with_columns(ceiling=pl.when(everywhere).then(known))

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """Lines over the named stages, or over the relative depth if there are too many stages."""
        from equistudy.report.charts import draw_profile

        names = [name for name in (TRAINED, *REFERENCES) if name in set(frame["series"])]
        return draw_profile(frame, self.color, self.outcomes[0].title, names)

    def caption(self, frame: DataFrame) -> str:
        """The method, the references and the number of seeds."""
        there = set(frame["series"])
        lines = [text for name, text in REFERENCES.items() if name in there]
        trained = frame.filter((frame["series"] == TRAINED) & frame["seed"].is_null())
        return "; ".join([describe_interval_method(trained), "small dots are single seeds", *lines]) + "."


@dataclass(frozen=True)
class LearningCurve(ReportFigure):
    """A value of the curves table over the epochs, such as `accuracy` or `loss`, for each split.

    `beside` names further curves of the training split, drawn with dashes: an expected value, for example, or the other
    term of a sum. A curve with a value only at the last epoch is drawn as a constant.

    >>> import equistudy as eq
    >>> eq.LearningCurve("loss").title
    'loss during training'
    """

    name: str
    color: Factor | None = None
    beside: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The value, over the epochs."""
        return self._describe_by_factors(f"{', '.join(map(_to_words, self._curve_names))} during training")

    @property
    def _limits(self) -> tuple[float, float]:
        """[0, 1] for fractions of images, and no upper bound for losses."""
        if self.name.endswith("accuracy"):
            return 0.0, 1.0
        return (0.0, inf) if self.name.endswith(("loss", "error")) else (-inf, inf)

    @property
    def _curve_names(self) -> tuple[str, ...]:
        return (self.name, *self.beside)

    def frame(self, table: StudyTable) -> DataFrame:
        """Columns: epoch, split (or curve, where there are several), the colour's factor, value, low, high, n."""
        import polars as pl

        names = set(table.curve_rows["name"])
        for name in self._curve_names:
            if names and name not in names:
                raise ValueError(f"No trial has a curve {name!r}. {suggest_names(name, names)}")
        rows = table.curve_rows.filter(pl.col("name").is_in(self._curve_names) & pl.col("value").is_finite())
        series = ["split"]
        if self.beside:
            rows, series = _extend_single_epochs(rows.filter(split="train")), ["curve"]
        values = table.design.join(rows.select("trial", "epoch", *series, "value"), on="trial", maintain_order="left")
        by = ["epoch", *series, *self.factors]
        return self._summarise(values.drop_nulls("epoch"), by, table)[0].sort(by)

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """A line with a band for each split or curve; dashes tell them apart."""
        from equistudy.report.charts import draw_learning_curve

        series = [_to_words(name) for name in self._curve_names] if self.beside else sorted(set(frame["split"]))
        column, title = ("curve" if self.beside else "split"), _to_words(self.name)
        return draw_learning_curve(frame, self.color, title, (column, series))

    def caption(self, frame: DataFrame) -> str:
        """The method and the number of seeds."""
        return f"{describe_interval_method(frame)}."


def _to_words(name: str) -> str:
    return name.replace("_", " ")


def _extend_single_epochs(rows: DataFrame) -> DataFrame:
    """The rows with readable curve names; a curve with a single epoch is extended to all epochs of its trial."""
    import polars as pl

    epochs = rows.select("trial", "epoch").unique()
    alone = pl.col("epoch").n_unique().over("trial", "name") == 1
    level = rows.filter(alone).drop("epoch").join(epochs, on="trial")
    both = pl.concat([rows.filter(~alone), level.select(rows.columns)])
    return both.with_columns(curve=pl.col("name").str.replace_all("_", " "))


@dataclass(frozen=True)
class Scatter(ReportFigure):
    """One outcome against another, one dot per trial.

    >>> import equistudy as eq
    >>> eq.Scatter(eq.Score("parameters"), eq.Score("test_accuracy")).title
    'test accuracy against parameters'
    """

    x: Quantity
    y: Quantity
    color: Factor | None = None

    @property
    def title(self) -> str:
        """Both outcomes."""
        return f"{self.outcomes[1].title} against {self.outcomes[0].title}"

    def frame(self, table: StudyTable) -> DataFrame:
        """Columns: trial, seed, every factor, x_value, y_value; the trials that have both."""
        x, y = (outcome.values_per_trial(table) for outcome in self.outcomes)
        y = y.rename({"value": "y_value"})
        key = ["trial", "seed", *table.factors]
        return x.rename({"value": "x_value"}).join(y, on=key, nulls_equal=True, maintain_order="left")

    def draw(self, frame: DataFrame) -> TopLevelMixin:
        """One dot per trial."""
        from equistudy.report.charts import draw_scatter

        return draw_scatter(frame, self.color, self.outcomes[0].title, self.outcomes[1].title)

    def caption(self, frame: DataFrame) -> str:
        """Spearman's rho over the trials, pooled and within colours, because the two may differ in sign."""
        from equistudy.analysis.trends import format_rank_correlation, rank_correlation

        ways: list[tuple[str, list[str]]] = [("pooled", [])]
        if self.color is not None:
            ways.append((f"within each {self.color.name}", [self.color.name]))
        found = [(name, rank_correlation(frame, "x_value", "y_value", cells)) for name, cells in ways]
        texts = [f"{name} {format_rank_correlation(rho)}" for name, rho in found if rho is not None]
        ranks = f" Spearman's rho with 95 % interval: {'; '.join(texts)}." if texts else ""
        return f"Each dot is a trial.{ranks}"
