"""Every format escapes what it must; cells, claims, and a search: its order, its ends and the best in bold."""

import json

import polars as pl
import pytest

from equistudy.analysis.table import StudyTable
from equistudy.analysis.verdicts import judge_claims
from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.recipe import SGD, Recipe
from equistudy.report.tables import ReportTable, tabulate_cells, tabulate_claims, tabulate_exploration, tabulate_search
from equistudy.study.design import factorial
from equistudy.study.search import search
from equistudy.study.space import Halving, LogUniform
from equistudy.study.study import Study
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from tests.analysis.synthetic import study, table, trial

AWKWARD = ReportTable(
    "awkward", "50 % & more_", ["a|b", "x^2"], [["1 ± 2", "<w> #3 {~}\\"]], pl.DataFrame(), frozenset({(0, 0)})
)


def test_latex_is_escaped():
    text = AWKWARD.to_latex()
    assert r"\caption{50 \% \& more\_}" in text
    assert r"\textbf{1 $\pm$ 2} & $<$w$>$ \#3 \{\textasciitilde{}\}\textbackslash{} \\" in text
    assert [mark for mark in (r"\toprule", r"\midrule", r"\bottomrule") if mark in text] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]
    assert r"\begin{tabular}{ll}" in text


def test_markdown_is_escaped():
    assert AWKWARD.to_markdown() == (
        "50 % & more_\n\n| a\\|b | x^2 |\n| --- | --- |\n| **1 ± 2** | &lt;w> #3 {~}\\\\ |\n"
    )


def test_cells_stand_in_the_order_of_the_design_with_the_best_in_bold():
    found = tabulate_cells(study(), table())
    assert found.header == ["width (channels)", "augmentation", "translation correlation"]
    assert [row[:2] for row in found.rows][:3] == [["4", "NoAugmentation"], ["4", "Crop"], ["8", "NoAugmentation"]]
    assert found.bold == {(1, 2)}
    assert found.rows[1][2].endswith("(n = 3)")
    assert " ± " in found.rows[1][2]
    assert found.numbers.columns == ["width", "augmentation", "value", "low", "high", "n", "best", "outcome"]


def test_a_cell_without_values_is_missing_and_not_filled():
    found = tabulate_cells(study(), table(absent={0: "failed", 8: "missing", 16: "failed"}))
    assert found.rows[0] == ["4", "NoAugmentation", "missing"]
    assert len(found.numbers) == 7


def test_a_study_without_factors_has_one_row():
    plain = study(design=factorial(trial, seeds=range(3)), claims=())
    assert len(tabulate_cells(plain, table(plain)).rows) == 1


def test_claims_have_effect_interval_p_and_n():
    judged = judge_claims(study(), table())
    found = tabulate_claims(judged, table())
    (row,) = found.rows
    verdict = judged[0][1]
    assert row[:2] == ["capacity down, equivariance up", "supported"]
    assert row[2].startswith("-0.0")
    assert float(row[2].split()[0]) == pytest.approx(verdict.effect, abs=verdict.high - verdict.low)
    assert row[4] == "3"
    assert "Hedges' g" in row[5]
    assert found.numbers.row(0) == (row[0], "supported", *verdict[2:6], 3)


def test_explored_effects_are_not_called_verdicts():
    found = tabulate_exploration(study(), table())
    assert found.rows[0][0] == "translation correlation per doubling of width, at augmentation NoAugmentation"
    assert "status" not in found.numbers.columns
    assert "Exploratory" in found.caption


def test_no_data_is_said():
    nothing = table(absent=dict.fromkeys(range(24), "missing"))
    assert [row[1:] for row in tabulate_exploration(study(), nothing).rows] == [["no data", "", "0"]] * 3
    assert tabulate_claims(judge_claims(study(), nothing), nothing).rows[0][2:5] == ["no data", "", "0"]


def sampled_trial(rate: float, seed: int) -> Trial:
    return Trial(ResNet(8, 2), Digits(), Classification(), NoAugmentation(), Recipe(9, optimiser=SGD(rate)), seed)


def found(rate, seed, status, epochs, loss):
    reason = "stopped early" if status == "failed" else None
    row = {"trial": sampled_trial(rate, seed).id, "attempt": 0, "status": status, "reason": reason, "epochs": epochs}
    return {**row, "test_loss": loss}


class Tables:
    def __init__(self, rows):
        self.trials = pl.LazyFrame(rows)
        self.curves = self.measurements = pl.LazyFrame(schema={"trial": pl.String, "attempt": pl.Int64})


def test_every_trial_with_its_end_and_the_confirmation_first():
    words = {"score": "test_loss", "mode": "min", "scheduler": Halving(9, first=1)}
    design = search(sampled_trial, {"rate": LogUniform(0.01, 1.0)}, num_samples=4, confirm=(1, 2), **words)
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
    design = search(sampled_trial, {"rate": LogUniform(0.01, 1.0)}, num_samples=4)
    known = design.with_sampled([json.dumps({"rate": 0.5})])
    made = tabulate_search(
        known, StudyTable.from_results(Study("Which rate?", known, ()), Tables([found(0.1, 0, "done", 9, 0.2)]))
    )
    assert [list(row) for row in made.rows] == [["drawn", "0.5", "0", "missing", ""]]
    assert made.bold == frozenset()
