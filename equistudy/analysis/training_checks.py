"""Finds networks that learned nothing: with accuracy at chance, or a training loss that did not fall."""

from collections.abc import Mapping

import polars as pl

from equistudy.analysis.effect_test import EffectTest
from equistudy.analysis.table import StudyTable
from equistudy.spec import format_label

__all__ = ["describe_stalled_networks", "find_stalled_networks"]

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
            sentences.append(f"{count} networks are {kind} (e.g. {place}).")
    return sentences
