"""Against scipy and closed forms."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from equistudy.analysis.contrasts import (
    describe_rank_test_limit,
    hedges_g,
    holm_correction,
    mann_whitney_min_p_value,
    paired_differences,
    wilcoxon_min_p_value,
)


def frame(values):
    rows = [(a, b, seed, value) for (a, b, seed), value in values.items()]
    return pl.DataFrame(rows, schema=["arm", "width", "seed", "value"], orient="row")


def test_differences_are_paired_within_seed_and_other_factors():
    values = {
        (arm, width, seed): 10.0 * seed + width + (arm == "new") * (1 + seed) * width
        for arm in ("old", "new")
        for width in (1, 3)
        for seed in range(4)
    }
    found = paired_differences(frame(values), "arm", ("new", "old"), ["width"])
    assert dict(found.rows()) == {seed: (1 + seed) * 2.0 for seed in range(4)}


def test_a_seed_without_all_its_cells_does_not_count():
    values = {(arm, width, seed): float(width) for arm in ("old", "new") for width in (1, 3) for seed in range(3)}
    del values["new", 3, 1]
    assert paired_differences(frame(values), "arm", ("new", "old"), ["width"])["seed"].to_list() == [0, 2]


def test_a_cell_without_the_baseline_in_any_seed_takes_no_part():
    values = {(arm, width, seed): float(width) for arm in ("old", "new") for width in (1, 3) for seed in range(3)}
    for seed in range(3):
        del values["old", 3, seed]
    assert len(paired_differences(frame(values), "arm", ("new", "old"), ["width"])) == 3


def test_no_other_factors():
    values = {("old", 1, 0): 1.0, ("new", 1, 0): 3.0}
    assert paired_differences(frame(values), "arm", ("new", "old"), []).rows() == [(0, 2.0)]


def test_hedges_g_is_unbiased():
    samples = np.random.default_rng(4).normal(0.8, 1.0, (20000, 4))
    assert np.mean([hedges_g(sample) for sample in samples]) == pytest.approx(0.8, abs=0.02)


def test_hedges_g_needs_spread_and_three_values():
    assert hedges_g([0.1, 0.2]) is None
    assert hedges_g([0.5, 0.5, 0.5]) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_controls_as_the_step_down_test_does(ps):
    corrected = holm_correction(ps)
    assert all(c >= p for c, p in zip(corrected, ps, strict=True))
    order = np.argsort(ps, kind="stable")
    rejecting = True
    for rank, index in enumerate(order):
        rejecting = rejecting and min(1.0, ps[index] * (len(ps) - rank)) < 0.05
        assert (corrected[index] < 0.05) == rejecting


def test_holm_of_a_textbook_family():
    assert holm_correction([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_correction([None, 0.02]) == [None, pytest.approx(0.04)]


@pytest.mark.parametrize("n", [3, 5, 6, 9])
def test_smallest_p_of_rank_tests_equals_scipy(n):
    ordered = np.arange(1.0, n + 1)
    assert wilcoxon_min_p_value(n) == pytest.approx(stats.wilcoxon(ordered, method="exact").pvalue)
    assert mann_whitney_min_p_value(n, n) == pytest.approx(stats.mannwhitneyu(ordered, -ordered, method="exact").pvalue)


def test_too_few_seeds_for_a_rank_test_are_said_plainly():
    assert describe_rank_test_limit(5) == (
        "Wilcoxon's test with 5 seeds cannot reach p < 0.05: its smallest p is 0.0625. It needs at least 6 seeds."
    )
    assert describe_rank_test_limit(6) == ""
    assert "with 1 seed cannot" in describe_rank_test_limit(1)
