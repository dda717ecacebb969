"""Networks that learned nothing are found by their accuracy and their loss, named in verdicts and never in bold."""

from dataclasses import replace

import polars as pl
import pytest

from equistudy.analysis.claims import Trend
from equistudy.analysis.outcome import Outcome
from equistudy.analysis.summary import summarise_cells
from equistudy.analysis.table import StudyTable
from equistudy.analysis.training_checks import find_stalled_networks
from equistudy.analysis.trial_numbers import Score
from equistudy.study.design import factorial
from tests.analysis.synthetic import CORRELATION, WIDTH, study, table, trial

FALLS = Trend(CORRELATION, over=WIDTH, expected="decreasing", on_average=True)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> StudyTable:
    """The synthetic table, of a dataset with ten classes and 1,000 test images: chance reaches up to 0.128."""
    found = table()
    monkeypatch.setattr(type(next(iter(found.study.design.cells())).trial.dataset), "num_classes", 10, raising=False)
    return found


def test_networks_that_learned_nothing_are_named(data: StudyTable) -> None:
    low = pl.when(pl.col("seed") == 1, pl.col("width") == 8).then(0.11).otherwise(pl.col("test_accuracy"))
    weak = replace(data, trials=data.trials.with_columns(test_accuracy=low))
    assert "networks are" not in FALLS.test(data).sentence
    assert "2 of 24 networks are at chance (e.g. width=8, augmentation=" in FALLS.test(weak).sentence
    done = data.trials["trial"][0]
    flat = [{"trial": done, "split": "train", "name": "loss", "epoch": epoch, "value": 2.3} for epoch in (1, 2, 3)]
    stuck = replace(data, curve_rows=pl.DataFrame(flat))
    assert "1 of 24 networks are without a falling training loss (e.g. width=" in FALLS.test(stuck).sentence


@pytest.mark.parametrize(("accuracy", "weak"), [(0.1, True), (0.128, True), (0.129, False), (0.05, True), (0.9, False)])
def test_chance_reaches_three_standard_errors_above_one_in_k(accuracy: float, weak: bool, data: StudyTable) -> None:
    found = find_stalled_networks(replace(data, trials=data.trials.with_columns(test_accuracy=pl.lit(accuracy))))
    assert ("at chance" in found) == weak


@pytest.mark.parametrize(
    ("losses", "stuck"), [((2.3, 2.3, 2.3), True), ((2.3, 2.28), True), ((2.3, 1.0), False), ((2.3,), False)]
)
def test_a_loss_falls_by_two_percent_or_not_at_all(losses: tuple[float, ...], stuck: bool, data: StudyTable) -> None:
    trial = data.trials["trial"][0]
    rows = [{"trial": trial, "split": "train", "name": "loss", "epoch": k, "value": v} for k, v in enumerate(losses, 1)]
    found = find_stalled_networks(replace(data, curve_rows=pl.DataFrame(rows)))
    assert ("without a falling training loss" in found) == stuck


def test_a_cell_at_chance_is_never_in_bold(data: StudyTable) -> None:
    """Every network of width 4 is at chance; by its correlation that width is the best."""
    low = pl.when(pl.col("width") == 4).then(0.1).otherwise(pl.col("test_accuracy"))
    weak = replace(data, trials=data.trials.with_columns(test_accuracy=low))
    assert set(summarise_cells(Outcome(CORRELATION), data).filter("best")["width"]) == {4}
    assert summarise_cells(Outcome(CORRELATION), weak).filter("best").is_empty()
    assert 4 not in set(summarise_cells(Outcome(Score("test_accuracy")), weak).filter("best")["width"])


def test_a_study_without_factors_is_judged_for_chance_too(data: StudyTable) -> None:
    plain = table(study(design=factorial(trial, seeds=range(3)), claims=()))
    weak = replace(plain, trials=plain.trials.with_columns(test_accuracy=pl.lit(0.1)))
    assert summarise_cells(Outcome(CORRELATION), plain).select("n", "best").rows() == [(3, True)]
    assert summarise_cells(Outcome(CORRELATION), weak).select("n", "best").rows() == [(3, False)]


def test_no_file_of_the_data_is_read(data: StudyTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of rows from elsewhere is judged where the data are not: the trials are matched by levels and seed."""
    elsewhere = table()  # its ids are known; those of the design below are not
    renamed = pl.concat_str(pl.lit("x"), "trial").alias("trial")
    weak = replace(
        elsewhere,
        study=study(),
        design=elsewhere.design.with_columns(renamed),
        trials=elsewhere.trials.with_columns(renamed, test_accuracy=pl.lit(0.1)),
    )
    dataset = type(next(iter(data.study.design.cells())).trial.dataset)
    monkeypatch.setattr(dataset, "fingerprint", lambda _: pytest.fail("the files are read"))
    monkeypatch.setattr("equistudy.study.trial._fingerprints", {})
    assert len(find_stalled_networks(weak)["at chance"]) == 24
    assert weak.describe_mixed_architectures() == []
