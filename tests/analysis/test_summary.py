import numpy as np
import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.outcome import Outcome
from equistudy.analysis.summary import summarise_cells, summarise_compute
from equistudy.analysis.trial_numbers import Score
from equistudy.study.design import factorial
from tests.analysis.synthetic import CORRELATION, study, table, trial


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
