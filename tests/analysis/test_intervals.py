"""Against scipy, and against the truth: coverage by simulation."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.intervals import (
    average_per_seed,
    fisher_interval,
    seeds_to_halve,
    summarise_over_seeds,
    t_interval,
    welch_interval,
    wilson_interval,
)


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_t_interval_equals_scipy(n):
    values = np.random.default_rng(n).normal(0.3, 1, n)
    reference = stats.ttest_1samp(values, 0)
    ours = t_interval(values)
    assert (ours.low, ours.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert (ours.p, ours.n, ours.estimate) == pytest.approx((reference.pvalue, n, values.mean()))


@pytest.mark.parametrize("n", [3, 5])
def test_t_interval_covers_the_mean_95_times_in_100(n):
    samples = np.random.default_rng(20 + n).normal(0.7, 0.1, (8000, n))
    intervals = [t_interval(sample) for sample in samples]
    assert 0.94 < np.mean([interval.low < 0.7 < interval.high for interval in intervals]) < 0.96


def test_percentile_bootstrap_would_not_cover():
    rng = np.random.default_rng(3)
    samples = rng.normal(0.7, 0.1, (2000, 3))
    means = np.take_along_axis(samples[:, None, :], rng.integers(0, 3, (2000, 400, 3)), axis=2).mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert np.mean((low < 0.7) & (high > 0.7)) < 0.85


def test_one_value_has_no_interval():
    assert t_interval([0.4]) == (0.4, None, None, 1, None)
    assert t_interval([0.4]).half_width is None
    assert not t_interval([0.4]).excludes_zero
    assert welch_interval([1.0, 2.0], [0.5]).low is None


def test_equal_values_have_no_test():
    interval = t_interval([0.1 + 0.2, 0.3, 0.3])
    assert interval.low == pytest.approx(interval.high)
    assert interval.p is None
    assert welch_interval([1.0, 1.0], [2.0, 2.0]) == (-1.0, -1.0, -1.0, 2, None)


@pytest.mark.parametrize("values", [[], [0.1, float("nan")]])
def test_no_values_or_not_a_number_is_an_error(values):
    with pytest.raises(ValueError, match="one or more finite values"):
        t_interval(values)


def test_welch_equals_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 4), rng.normal(0, 3, 7)
    reference, ours = stats.ttest_ind(a, b, equal_var=False), welch_interval(a, b)
    assert (ours.low, ours.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert ours.p == pytest.approx(reference.pvalue)


@pytest.mark.parametrize(("r", "n"), [(0.5, 20), (-0.3, 40), (0.0, 80)])
def test_fisher_equals_scipy(r, n):
    x = np.random.default_rng(1).normal(size=(n, 2))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    noise = x[:, 1] - x[:, 0] * (x[:, 0] @ x[:, 1]) / n
    y = r * x[:, 0] + np.sqrt(1 - r**2) * noise / noise.std()
    reference = stats.pearsonr(x[:, 0], y)
    ours = fisher_interval(r, n)
    assert (ours.low, ours.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert ours.p == pytest.approx(reference.pvalue)


def test_fisher_of_few_or_perfect_pairs_has_no_interval():
    assert fisher_interval(0.9, 3).low is None
    assert fisher_interval(1.0, 10).low is None
    with pytest.raises(ValueError, match=r"must lie in \[-1, 1\], got correlation=1.2"):
        fisher_interval(1.2, 10)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (7, 10), (10, 10), (890, 1000)])
def test_wilson_equals_scipy(successes, n):
    reference = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    ours = wilson_interval(successes, n)
    assert (ours.low, ours.high) == pytest.approx(tuple(reference), abs=1e-12)


def test_wilson_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="0 <= successes <= n and n >= 1, got successes=0, n=0"):
        wilson_interval(0, 0)


def test_seeds_to_halve_the_interval():
    n = seeds_to_halve(3)
    length = [stats.t.ppf(0.975, count - 1) / np.sqrt(count) for count in (3, n - 1, n)]
    assert length[2] <= length[0] / 2 < length[1]
    with pytest.raises(ValueError, match="at least 2 seeds, got n=1"):
        seeds_to_halve(1)


def frame(rows):
    return pl.DataFrame(rows, schema=["width", "arm", "seed", "value"], orient="row")


def test_the_other_cells_of_a_seed_are_averaged():
    full = frame([(4, arm, seed, seed + (arm == "b")) for arm in "ab" for seed in range(3)])
    assert average_per_seed(full, by=["width"], over=["arm"]).rows() == [(4, 0, 0.5), (4, 1, 1.5), (4, 2, 2.5)]


def test_a_seed_that_lacks_a_cell_is_left_out_in_that_cell_alone():
    rows = [(width, arm, seed, 1.0) for width in (4, 8) for arm in "ab" for seed in range(3)]
    rows.remove((8, "b", 2, 1.0))
    kept = average_per_seed(frame(rows), by=["width"], over=["arm"])
    assert kept.group_by("width").len().sort("width").rows() == [(4, 3), (8, 2)]


def test_a_cell_that_no_seed_has_is_not_asked_for():
    rows = [(4, "a", seed, 1.0) for seed in range(3)]
    assert len(average_per_seed(frame(rows), by=["width"], over=["arm"])) == 3


def test_one_trial_named_twice_counts_once():
    rows = [(4, "a", 0, 1.0), (4, "a", 0, 3.0), (4, "b", 0, 6.0)]
    assert average_per_seed(frame(rows), by=[], over=["arm"])["value"].to_list() == [4.0]


def test_a_level_that_a_condition_does_not_have_is_a_cell_of_its_own():
    rows = [(4, None, 0, 1.0), (4, "a", 0, 2.0), (4, None, 1, 3.0), (4, "a", 1, 4.0)]
    assert average_per_seed(frame(rows), by=["arm"], over=["width"])["value"].sort().to_list() == [1.0, 2.0, 3.0, 4.0]


def test_summary_is_the_t_interval_of_each_cell():
    values = {4: [1.0, 2.0, 4.0], 8: [5.0]}
    rows = [(width, "a", seed, value) for width, cell in values.items() for seed, value in enumerate(cell)]
    first, second = summarise_over_seeds(frame(rows), ["width"]).rows(named=True)
    low, high = stats.ttest_1samp(values[4], 0).confidence_interval(0.95)
    assert (first["value"], first["low"], first["high"]) == pytest.approx((7 / 3, low, high))
    assert (second["value"], second["low"], second["high"], second["n"]) == (5.0, None, None, 1)
    assert summarise_over_seeds(frame(rows), []).height == 1


def test_intervals_end_where_the_values_do() -> None:
    seeds = pl.DataFrame({"width": [4] * 3, "seed": [0, 1, 2], "value": [0.9, 0.99, 1.0]})
    free = summarise_over_seeds(seeds, ["width"]).row(0, named=True)
    held = summarise_over_seeds(seeds, ["width"], limits=(-1, 1)).row(0, named=True)
    assert free["high"] > 1
    assert held["high"] == 1
    assert (held["value"], held["low"], held["n"]) == (free["value"], free["low"], 3)
