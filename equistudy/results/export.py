"""Results for other uses: rows as CSV that no spreadsheet executes, and a small part to keep beside the code."""

import re
from collections.abc import Collection

import polars as pl

from equistudy.results.reader import Results
from equistudy.results.schema import TRIALS, CurveRow, TrialRow
from equistudy.results.store import Store

__all__ = ["archive_rows", "write_safe_csv"]

FORMULA = r"^[=+\-@\t\r]"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^-$"


def write_safe_csv(frame: pl.DataFrame) -> str:
    """The frame as CSV, with an apostrophe before texts and column names that a spreadsheet would run as formulas."""
    formula = pl.col(pl.String).str.contains(FORMULA) & ~pl.col(pl.String).str.contains(NUMBER)
    texts = pl.when(formula).then(pl.lit("'") + pl.col(pl.String)).otherwise(pl.col(pl.String)).name.keep()
    harmless = frame.with_columns(texts) if pl.String in frame.dtypes else frame
    return harmless.rename({name: f"'{name}" for name in frame.columns if re.match(FORMULA, name)}).write_csv()


# What no claim and no figure reads: intervals over images, bookkeeping, and where weights lie that are not kept.
OMITTED_COLUMNS = ("low", "high", "raw", "cells", "channels", "dead_channels", "note", "seconds")


def archive_rows(
    found: Results,
    store: Store,
    trials: Collection[str],
    measures: Collection[str] | None = None,
    curves: Collection[str] | None = None,
) -> None:
    """Writes the rows of some trials, of the measures with these ids, and of the curves with these names; None: all.

    Columns of measurements that no claim and no figure reads are left out, and so are paths to weights. What is there
    already stays as it is; measures that it lacks are added.
    """
    known, of_trials = store.list_statuses(), pl.col("trial").is_in([*trials])
    named = pl.lit(value=True) if curves is None else pl.col("name").is_in([*curves])
    chosen = pl.lit(value=True) if measures is None else pl.col("measure_id").is_in([*measures])
    lines = _group_by_trial(found.curves.filter(of_trials & named).collect())
    values = _group_by_trial(found.measurements.filter(of_trials & chosen).drop(OMITTED_COLUMNS).collect())
    for row in found.attempts.filter(of_trials).select(TRIALS.schema.names).rows(named=True):
        trial, attempt, writer = row["trial"], row["attempt"], row["writer"]
        parts = values[trial].group_by("measure_id", maintain_order=True) if trial in values else ()
        for (measure,), part in parts:
            if not store.has_measurements(trial, attempt, str(measure), writer):
                rows = part.drop("trial", "attempt").rows(named=True)
                store.write_measurements(trial, attempt, str(measure), rows, writer=writer)
        if trial in known:
            continue
        if trial in lines:
            frame = lines[trial].drop("trial", "attempt")
            store.write_curves(trial, attempt, [CurveRow(**line) for line in frame.rows(named=True)], writer)
        store.write_trial(TrialRow(**{**row, "weights": None}))


def _group_by_trial(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {str(trial): part for (trial,), part in rows.group_by("trial", maintain_order=True)}
