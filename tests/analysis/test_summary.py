"""Cells, ties and compute against SciPy; networks that learned nothing are named in verdicts and never in bold."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.claims import Trend
from equistudy.analysis.outcome import Outcome
from equistudy.analysis.summary import find_stalled_networks, summarise_cells, summarise_compute
from equistudy.analysis.table import StudyTable
from equistudy.analysis.trial_numbers import Score
from equistudy.study.design import factorial
from tests.analysis.synthetic import CORRELATION, WIDTH, study, table, trial


def test_cells_have_the_t_interval_over_their_seeds():
    data = table()
    values = Outcome(CORRELATION).values_per_trial(data).filter(width=8, augmentation="Crop")["value"].to_numpy()
    row = summarise_cells(Outcome(CORRELATION), data).row(3, named=True)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (row["width"], row["augmentation"], row["n"]) == (8, "Crop", 3)
    assert (row["value"], row["low"], row["high"]) == pytest.approx((values.mean(), low, high))


def test_the_best_is_marked_alone_where_pairing_tells_the_cells_apart():
    """The intervals of the cells overlap, because seeds differ; their paired differences do not contain 0."""
    summary = summarise_cells(Outcome(CORRELATION), table())
    assert summary.filter("best").select("width", "augmentation").rows() == [(4, "Crop")]
    rival = summary.filter(width=4, augmentation="NoAugmentation")
    assert rival["high"][0] > summary.filter("best")["low"][0]


def test_ties_are_marked_too():
    data = table(noise=0.05)
    summary, values = summarise_cells(Outcome(CORRELATION), data), Outcome(CORRELATION).values_per_trial(data)
    best = summary.row(summary["value"].arg_max(), named=True)
    for row in summary.rows(named=True):
        pairs = [values.filter(width=r["width"], augmentation=r["augmentation"])["value"] for r in (row, best)]
        difference = (pairs[0] - pairs[1]).to_numpy()
        same = not difference.any()
        assert row["best"] == (same or bool(stats.ttest_1samp(difference, 0).pvalue >= 0.05))
    assert summary["best"].sum() > 1


def test_one_seed_decides_on_no_best_and_an_error_is_best_low():
    assert not summarise_cells(Outcome(CORRELATION), table(study(num_seeds=1)))["best"].any()
    data = table()
    object.__setattr__(data, "trials", data.trials.with_columns(test_error=1 - pl.col("test_accuracy")))
    lowest = summarise_cells(Outcome(Score("test_error")), data)
    assert lowest.row(lowest["value"].arg_min(), named=True)["best"]
    assert lowest.filter("best")["value"].max() < np.median(lowest["value"])


def test_a_study_without_factors_and_one_without_results():
    plain = study(design=factorial(trial, seeds=range(3)), claims=())
    assert summarise_cells(Outcome(CORRELATION), table(plain)).select("n", "best").rows() == [(3, True)]
    nothing = table(absent=dict.fromkeys(range(24), "missing"))
    assert summarise_cells(Outcome(CORRELATION), nothing).is_empty()
    assert summarise_compute(nothing).is_empty()


def test_compute_counts_failed_trials_and_what_was_lost():
    ledger = summarise_compute(table(absent={0: "failed", 1: "missing"}))
    assert ledger.rows() == [("done", 22, 220.0, 44.0, 22.0), ("failed", 1, 10.0, 2.0, 1.0)]


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
    assert "1 of 24 networks is without a falling training loss (e.g. width=" in FALLS.test(stuck).sentence


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
