"""The values of an outcome: from measurements or scores to one number per trial."""

from collections.abc import Sequence

import polars as pl

from equistudy.analysis.outcome import Combination, Known, Outcome, Reference, Score
from equistudy.analysis.table import DONE, StudyTable, level_value
from equistudy.study.design import nearest

__all__ = ["measured_rows", "trials_without_value", "values_per_trial"]


def measured_rows(outcome: Outcome, table: StudyTable) -> pl.DataFrame:
    """The finite measurements of the outcome's measure at its elements, with its reference subtracted; all stages."""
    if isinstance(outcome.measure, (Score, Combination, Known)):
        raise TypeError(
            f"A {type(outcome.measure).__name__.lower()} has no stages, got {outcome.measure}. Name a measure."
        )
    rows = table.measurement_rows.filter(pl.col("measure_id") == outcome.measure.id)
    rows = _named(rows, "element", outcome.elements)
    if outcome.reference is not Reference.NONE:
        rows = rows.with_columns(value=pl.col("value") - pl.col(outcome.reference.value))
    return rows.filter(pl.col("value").is_finite())


def values_per_trial(outcome: Outcome, table: StudyTable) -> pl.DataFrame:
    """One row a trial of the design that has the number: trial, seed, factors, value."""
    if isinstance(outcome.measure, Combination):
        values = _combined(outcome.measure, table)
    elif isinstance(outcome.measure, Score):
        values = _scores(outcome.measure, table)
    elif isinstance(outcome.measure, Known):
        values = _known(outcome.measure, table)
    else:
        rows = _named(measured_rows(outcome, table), "stage", outcome.stages)
        if outcome.stages is None and rows["stride"].count() > 0:
            rows = rows.filter(pl.col("stride").is_not_null())
        values = rows.group_by("trial", "stage").agg(pl.col("value").mean())
        values = values.group_by("trial").agg(pl.col("value").mean())
    return table.design.join(values, on="trial", maintain_order="left").filter(pl.col("value").is_finite())


def trials_without_value(outcome: Outcome, table: StudyTable) -> pl.DataFrame:
    """The rows of `table.trials` that lack the number, with the reason: failed, missing or not measured."""
    lacking = table.trials.join(values_per_trial(outcome, table), on="trial", how="anti")
    what = outcome.measure
    unmeasured = pl.lit(what.unknown if isinstance(what, Known) else f"{what.title} not measured")
    return lacking.with_columns(
        reason=pl.when(pl.col("status") == DONE).then(unmeasured).otherwise(pl.col("reason").cast(pl.String))
    )


def _named(rows: pl.DataFrame, column: str, names: Sequence[str] | None) -> pl.DataFrame:
    """The rows at the names; a name that no trial has is an error, unless nothing is measured yet."""
    if names is None or rows.is_empty():
        return rows
    there = set(rows[column])
    for name in names:
        if name not in there:
            raise ValueError(f"No trial has measured {column} {name!r}. {nearest(name, there)}")
    return rows.filter(pl.col(column).is_in(names))


def _combined(combination: Combination, table: StudyTable) -> pl.DataFrame:
    """The weighted sum for every trial that has all parts."""
    parts = [
        part.per_trial(table).select("trial", value=weight * pl.col("value")).unique("trial")
        for weight, part in combination.parts
    ]
    sums = pl.concat(parts).group_by("trial").agg(pl.col("value").sum(), there=pl.len())
    return sums.filter(pl.col("there") == len(parts)).drop("there")


def _known(known: Known, table: StudyTable) -> pl.DataFrame:
    """The number of the level of every trial that is done."""
    numbers = {level_value(known.factor, level): number for level, number in known.numbers}
    done = table.trials.filter(pl.col("status") == DONE).select("trial", known.factor.name).unique()
    values = [numbers.get(level) for level in done[known.factor.name]]
    return done.select("trial").with_columns(pl.Series("value", values, dtype=pl.Float64))


def _scores(score: Score, table: StudyTable) -> pl.DataFrame:
    done = table.trials.filter(pl.col("status") == DONE)
    if done.is_empty():
        return pl.DataFrame(schema={"trial": pl.String, "value": pl.Float64})
    numeric = [name for name, kind in done.schema.items() if kind.is_numeric() and name not in table.factors]
    if score.name not in numeric:
        raise ValueError(f"The trials have no numeric column {score.name!r}. {nearest(score.name, numeric)}")
    return done.select("trial", value=pl.col(score.name).cast(pl.Float64)).unique()
