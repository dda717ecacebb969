"""Keeps a small part of some results beside the code: the rows that verdicts and figures are made from."""

from collections.abc import Collection

import polars as pl

from equistudy.results.results import Results
from equistudy.results.schema import TRIALS, CurveRow, TrialRow
from equistudy.results.store import Store

__all__ = ["keep"]

# What no claim and no figure reads: intervals over images, bookkeeping, and where weights lie that are not kept.
LEFT_OUT = ("low", "high", "raw", "cells", "channels", "dead_channels", "note", "seconds")


def keep(
    found: Results,
    store: Store,
    trials: Collection[str],
    measures: Collection[str] | None = None,
    curves: Collection[str] | None = None,
) -> None:
    """Writes the rows of some trials, of the measures with these ids, and of the curves with these names; None: all.

    Columns of measurements that no claim and no figure reads are left out, and so are paths to weights. A trial that is
    there already stays as it is.
    """
    known = store.finished()
    new = [trial for trial in dict.fromkeys(trials) if trial not in known]
    of_trials = pl.col("trial").is_in(new)
    named = pl.lit(value=True) if curves is None else pl.col("name").is_in(curves)
    chosen = pl.lit(value=True) if measures is None else pl.col("measure_id").is_in(measures)
    lines = _by_trial(found.curves.filter(of_trials & named).collect())
    values = _by_trial(found.measurements.filter(of_trials & chosen).drop(LEFT_OUT).collect())
    for row in found.attempts.filter(of_trials).select(TRIALS.schema.names).rows(named=True):
        attempt = row["trial"], row["attempt"]
        if row["trial"] in lines:
            frame = lines[row["trial"]].drop("trial", "attempt")
            store.write_curves(*attempt, [CurveRow(**line) for line in frame.rows(named=True)])
        if row["trial"] in values:
            frame = values[row["trial"]].drop("trial", "attempt")
            for (measure,), part in frame.group_by("measure_id", maintain_order=True):
                store.write_measurements(*attempt, str(measure), part.rows(named=True))
        store.write_trial(TrialRow(**{**row, "weights": None}))


def _by_trial(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {str(trial): part for (trial,), part in rows.group_by("trial", maintain_order=True)}
