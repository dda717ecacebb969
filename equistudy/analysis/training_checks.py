"""Which of the networks behind a number learned nothing: accuracy at chance, or a training loss that did not fall."""

from collections.abc import Mapping

import polars as pl

from equistudy.analysis.effect_test import EffectTest
from equistudy.analysis.table import DONE, StudyTable
from equistudy.datasets.dataset import Target
from equistudy.spec import format_label

__all__ = ["describe_untrained_networks", "find_untrained_networks"]

CHANCE_ERRORS = 3  # standard errors of the share of correct answers within which an accuracy is at chance
UNKNOWN_TEST_SIZE = 1000
LEAST_FALL = 0.02  # share of its first value by which a training loss must fall


def find_untrained_networks(table: StudyTable) -> dict[str, pl.DataFrame]:
    """The trained networks of a table whose test accuracy is at chance, and those whose training loss did not fall.

    Chance is 1 / K for K classes, with three standard errors sqrt(p (1 - p) / N) of N test images. The loss is that of
    the last epoch against that of the first, or both of the training images.
    """
    trained = _select_trained(table)
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


def describe_untrained_networks(test: EffectTest, table: StudyTable) -> list[str]:
    """A sentence for each kind of network that learned nothing among those that a test compares."""
    compared = test.select_compared(table.design, table)["trial"].implode()
    sentences = []
    for kind, rows in find_untrained_networks(table).items():
        here = rows.filter(pl.col("trial").is_in(compared))
        if len(here):
            first: Mapping[str, object] = here.row(0, named=True)
            names = [name for name in (*table.factors, "seed") if first[name] is not None]
            place = ", ".join(f"{name}={format_label(first[name])}" for name in names)
            count = f"{len(here)} of {table.trials.filter(pl.col('trial').is_in(compared)).height}"
            sentences.append(f"{count} networks are {kind} (e.g. {place}).")
    return sentences


def _select_trained(table: StudyTable) -> pl.DataFrame:
    """The trials that are done and were trained to tell classes apart, with chance's accuracy and the test images."""
    rows = []
    for cell in table.study.design.cells():
        dataset = cell.trial.dataset
        if cell.trial.recipe.epochs and cell.trial.task.target is Target.CLASS and hasattr(dataset, "num_classes"):
            test_images = getattr(dataset, "test_size", None) or UNKNOWN_TEST_SIZE
            rows.append((cell.trial.id, 1 / dataset.num_classes, test_images))
    schema = {"trial": pl.String, "chance": pl.Float64, "test_images": pl.Float64}
    known = pl.DataFrame(rows, schema=schema, orient="row").unique("trial")
    return table.trials.filter(pl.col("status") == DONE).join(known, on="trial", how="inner")
