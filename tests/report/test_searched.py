"""The table of a search: order, ends, the best in bold, and rungs in the caption."""

import json

import polars as pl

from equistudy.analysis.table import StudyTable
from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.recipe import SGD, Recipe
from equistudy.report.searched import tabulate_search
from equistudy.study.search import search
from equistudy.study.space import Halving, LogUniform
from equistudy.study.study import Study
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification


def trial(rate: float, seed: int) -> Trial:
    return Trial(ResNet(8, 2), Digits(), Classification(), NoAugmentation(), Recipe(9, optimiser=SGD(rate)), seed)


def found(rate, seed, status, epochs, loss):
    reason = "stopped early" if status == "failed" else None
    row = {"trial": trial(rate, seed).id, "attempt": 0, "status": status, "reason": reason, "epochs": epochs}
    return {**row, "test_loss": loss}


class Tables:
    def __init__(self, rows):
        self.trials = pl.LazyFrame(rows)
        self.curves = self.measurements = pl.LazyFrame(schema={"trial": pl.String, "attempt": pl.Int64})


def test_every_trial_with_its_end_and_the_confirmation_first():
    words = {"score": "test_loss", "mode": "min", "scheduler": Halving(9, first=1)}
    design = search(trial, {"rate": LogUniform(0.01, 1.0)}, num_samples=4, confirm=(1, 2), **words)
    rows = [
        found(0.1, 0, "failed", 1, 0.9),
        found(0.2, 0, "done", 9, 0.3),
        found(0.3, 0, "done", 9, 0.1),
        found(0.4, 0, "failed", 3, 0.05),
        found(0.3, 1, "done", 9, 0.15),
        found(0.3, 2, "done", 9, 0.12),
    ]
    ends = {row["trial"]: row["test_loss"] for row in rows if row["status"] == "done"}
    known = design.with_sampled([json.dumps({"rate": rate}) for rate in (0.1, 0.2, 0.3, 0.4)], ends)
    table = StudyTable.from_results(Study("Which rate?", known, ()), Tables(rows))
    made = tabulate_search(known, table)
    assert list(made.header) == ["round", "rate", "seed", "ended", "test loss"]
    assert [(row[0], row[1], row[2], row[3]) for row in made.rows] == [
        ("confirmation", "0.3", "2", "done, 9 epochs"),
        ("confirmation", "0.3", "1", "done, 9 epochs"),
        ("drawn", "0.3", "0", "done, 9 epochs"),
        ("drawn", "0.2", "0", "done, 9 epochs"),
        ("drawn", "0.4", "0", "stopped early after 3 epochs"),
        ("drawn", "0.1", "0", "stopped early after 1 epochs"),
    ]
    assert made.bold == {(2, 4)}
    assert "judged after 1 and 3 epochs, by test loss" in made.caption
    assert made.numbers["test_loss"].to_list()[2:] == [0.1, 0.3, 0.05, 0.9]


def test_a_search_that_has_not_drawn_has_an_empty_table():
    design = search(trial, {"rate": LogUniform(0.01, 1.0)}, num_samples=4)
    known = design.with_sampled([json.dumps({"rate": 0.5})])
    made = tabulate_search(
        known, StudyTable.from_results(Study("Which rate?", known, ()), Tables([found(0.1, 0, "done", 9, 0.2)]))
    )
    assert [list(row) for row in made.rows] == [["drawn", "0.5", "0", "missing", ""]]
    assert made.bold == frozenset()
