"""Summaries of a study: the mean and interval of each cell, the best cell and its ties, and the compute used."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from equistudy.analysis.effect_test import EffectTest
from equistudy.analysis.intervals import average_per_seed, summarise_over_seeds, t_interval
from equistudy.analysis.outcome import Outcome
from equistudy.analysis.table import StudyTable
from equistudy.spec import format_label

__all__ = ["describe_stalled_networks", "find_stalled_networks", "summarise_cells", "summarise_compute"]


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


CHANCE_ERRORS = 3  # an accuracy within this many standard errors of chance is at chance
LEAST_FALL = 0.02  # fraction of its first value by which a training loss must fall


def find_stalled_networks(table: StudyTable) -> dict[str, pl.DataFrame]:
    """The trained networks of a table whose test accuracy is at chance, and those whose training loss did not fall.

    An accuracy is at chance below p + 3 sqrt(p (1 - p) / N), with p = 1 / K for K classes and N test images. The
    training loss of the last epoch is compared with that of the first.
    """
    trained = table.trained_classifiers
    if trained.is_empty():
        return {}
    found = {}
    if "test_accuracy" in trained.columns:
        error = (pl.col("chance") * (1 - pl.col("chance")) / pl.col("test_images")).sqrt()
        found["at chance"] = trained.filter(pl.col("test_accuracy") <= pl.col("chance") + CHANCE_ERRORS * error)
    losses = table.curve_rows.filter(pl.col("split") == "train", pl.col("name") == "loss").sort("epoch")
    ends = losses.group_by("trial").agg(first=pl.col("value").first(), last=pl.col("value").last(), epochs=pl.len())
    flat = ends.filter(pl.col("epochs") > 1, pl.col("last") > (1 - LEAST_FALL) * pl.col("first"), pl.col("first") > 0)
    found["without a falling training loss"] = trained.join(flat.select("trial"), on="trial", how="semi")
    return {kind: rows for kind, rows in found.items() if len(rows)}


def describe_stalled_networks(test: EffectTest, table: StudyTable) -> list[str]:
    """One sentence per kind of network that learned nothing, among those that a test compares."""
    compared = test.select_compared(table.design, table)["trial"].implode()
    sentences = []
    for kind, rows in find_stalled_networks(table).items():
        here = rows.filter(pl.col("trial").is_in(compared))
        if len(here):
            first: Mapping[str, object] = here.row(0, named=True)
            names = [name for name in (*table.factors, "seed") if first[name] is not None]
            place = ", ".join(f"{name}={format_label(first[name])}" for name in names)
            count = f"{len(here)} of {table.trials.filter(pl.col('trial').is_in(compared)).height}"
            sentences.append(f"{count} networks {'is' if len(here) == 1 else 'are'} {kind} (e.g. {place}).")
    return sentences
