"""Summaries of a study: the mean and interval of each cell, the best cell and its ties, and the compute used."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from equistudy.analysis.intervals import t_interval
from equistudy.analysis.outcome import Outcome
from equistudy.analysis.replicates import average_per_seed, summarise_over_seeds
from equistudy.analysis.table import StudyTable
from equistudy.analysis.training_checks import find_stalled_networks

__all__ = ["summarise_cells", "summarise_compute"]


def summarise_cells(outcome: Outcome, table: StudyTable) -> pl.DataFrame:
    """One row per cell in the order of the design: the factors, value, low, high, n, best.

    `best` marks the cell with the best mean and every cell that ties with it, which means that the 95 % t interval of
    their paired differences over the seeds contains 0. Nothing is marked with fewer than two common seeds, nor is a
    cell whose networks are all at chance.
    """
    seeds = average_per_seed(outcome.values_per_trial(table), by=table.factors, over=())
    means = summarise_over_seeds(seeds, table.factors, limits=outcome.limits)
    if means.is_empty():
        return means.with_columns(best=pl.lit(value=False))
    top = means["value"].arg_max() if outcome.higher_is_better else means["value"].arg_min()
    samples = [_select_cell(seeds, row, table.factors).select("seed", "value") for row in means.rows(named=True)]
    best = means.with_columns(best=pl.Series([_is_tied(sample, samples[top or 0]) for sample in samples]))
    weak = find_stalled_networks(table).get("at chance")
    if weak is None:
        return best
    weak_per_cell = [_select_cell(weak, row, table.factors).height for row in best.rows(named=True)]
    return best.with_columns(best=pl.col("best") & (pl.Series(weak_per_cell) < pl.col("n")))


def _select_cell(rows: pl.DataFrame, cell: Mapping[str, Any], factors: Sequence[str]) -> pl.DataFrame:
    return rows.filter(*(pl.col(name).eq_missing(pl.lit(cell[name])) for name in factors))


def _is_tied(sample: pl.DataFrame, best: pl.DataFrame) -> bool:
    paired = sample.join(best, on="seed", suffix="_best")
    if len(paired) < 2:
        return False
    return not t_interval((paired["value"] - paired["value_best"]).to_numpy()).excludes_zero


def summarise_compute(table: StudyTable) -> pl.DataFrame:
    """The compute used, including failed trials: status, trials, seconds, measuring_seconds, lost_seconds.

    `lost_seconds` is training that was lost when a process died. Trials that never ran are left out.
    """
    spent = ("seconds", "measuring_seconds", "lost_seconds")
    ran = table.trials.filter(pl.col("attempt").is_not_null()).unique("trial")
    sums = [pl.col(name).cast(pl.Float64).sum() for name in spent]
    return ran.group_by("status").agg(pl.len().alias("trials"), *sums).sort("status")
