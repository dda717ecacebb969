import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.replicates import average_per_seed, summarise_over_seeds


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
