"""Against scipy and closed forms."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.trends import (
    centre_within_cells,
    fit_slopes,
    pearson_correlation,
    rank_correlation,
    spearman_correlation,
)


def frame(rows):
    return pl.DataFrame(rows, schema=["width", "arm", "seed", "value"], orient="row")


@pytest.mark.parametrize("log", [True, False])
def test_slope_of_each_seed_equals_least_squares(log):
    rng = np.random.default_rng(5)
    rows = [(width, "a", seed, rng.normal()) for width in (4, 8, 32) for seed in range(3)]
    found = dict(fit_slopes(frame(rows), "width", ["arm"], log=log).rows())
    for seed in range(3):
        xs, ys = zip(*[(np.log2(row[0]) if log else row[0], row[3]) for row in rows if row[2] == seed], strict=True)
        assert found[seed] == pytest.approx(stats.linregress(xs, ys).slope)


def test_slopes_are_averaged_over_the_other_cells_of_a_seed():
    rows = [(width, arm, 0, np.log2(width) * rate) for width in (1, 2, 4) for arm, rate in (("a", 1), ("b", 3))]
    assert fit_slopes(frame(rows), "width", ["arm"], log=True)["value"].to_list() == pytest.approx([2.0])


def test_a_seed_that_lacks_a_level_does_not_count():
    rows = [(width, "a", seed, float(width**2)) for width in (1, 2, 4) for seed in range(3) if (width, seed) != (4, 1)]
    assert fit_slopes(frame(rows), "width", ["arm"], log=False)["seed"].to_list() == [0, 2]


def test_a_cell_with_one_level_has_no_slope():
    rows = [(width, "a", 0, float(width)) for width in (1, 2)] + [(1, "b", 0, 5.0)]
    assert fit_slopes(frame(rows), "width", ["arm"], log=False).rows() == [(0, pytest.approx(1.0))]


def test_correlations_equal_scipy():
    rng = np.random.default_rng(6)
    x = rng.integers(0, 5, 30).astype(float)
    y = x + rng.normal(0, 3, 30)
    assert pearson_correlation(x, y)[:3:1][0] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert pearson_correlation(x, y)[1:3] == pytest.approx(tuple(stats.pearsonr(x, y).confidence_interval(0.95)))
    reference = stats.spearmanr(x, y)
    assert (spearman_correlation(x, y).estimate, spearman_correlation(x, y).p) == pytest.approx(
        (reference.statistic, reference.pvalue)
    )


def test_spearman_interval_covers():
    rng = np.random.default_rng(8)
    truth = 6 / np.pi * np.arcsin(0.7 / 2)  # Spearman's rho of a normal pair with r = 0.7
    pairs = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], (1500, 24))
    found = [spearman_correlation(pair[:, 0], pair[:, 1]) for pair in pairs]
    assert 0.93 < np.mean([interval.low < truth < interval.high for interval in found]) < 0.98


def test_correlation_without_spread_is_an_error():
    with pytest.raises(ValueError, match="at least two different values of both, got 3 pairs"):
        pearson_correlation(np.ones(3), np.arange(3.0))


def test_centring_takes_the_other_cells_out():
    """Within each family the trend is perfect, pooled it has the other sign (Simpson)."""
    rows = [(x, family, 0, x - 10.0 * step) for step, family in enumerate("abc") for x in range(4 * step, 4 * step + 4)]
    assert np.corrcoef(frame(rows)["width"], frame(rows)["value"])[0, 1] < 0
    assert rank_correlation(frame(rows), "width", "value", ["arm"]).estimate == pytest.approx(1.0)
    assert centre_within_cells(frame(rows), "value", []).mean() == pytest.approx(0)
