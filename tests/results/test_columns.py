"""The JSON texts become columns of sensible types."""

import polars as pl
import pytest

from equistudy.results import results
from equistudy.results.columns import build_series, expand_columns


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, None, 3], pl.Int64, [1, None, 3]),
        ([1, 2.5, None], pl.Float64, [1.0, 2.5, None]),
        ([True, None], pl.Boolean, [True, None]),
        (["a", None], pl.String, ["a", None]),
        ([1, "a", 2.5, True], pl.String, ["1", "a", "2.5", "True"]),
        ([True, 2], pl.String, ["True", "2"]),
        ([2**70, 1], pl.String, [str(2**70), "1"]),
        ([2**63 - 1, -(2**63)], pl.Int64, [2**63 - 1, -(2**63)]),
        ([None, None], pl.Null, [None, None]),
        ([], pl.Null, []),
    ],
)
def test_types(values, dtype, expected):
    column = build_series("x", values)
    assert column.dtype == dtype
    assert column.to_list() == expected


def test_not_a_number_survives():
    assert build_series("x", [float("nan"), 1]).is_nan().to_list() == [True, False]


def trials(store, *rows):
    for row in rows:
        store.write_trial(row)
    return results(store.url).trials.collect()


def test_factors_scores_and_spec_are_columns(store, row):
    first = row(
        "t_1",
        factors={"width": 4, "augmentation": "RandomCrop(padding=2)"},
        spec={"model": "ResNet(width=4)", "model.depth": 20, "recipe.optimiser.learning_rate": 0.1, "seed": 0},
        scores={"test_accuracy": 0.9},
    )
    second = row(
        "t_2", factors={"width": 8}, spec={"model": "ViT", "recipe.optimiser.learning_rate": 1}, status="failed"
    )
    found = trials(store, first, second)
    assert found["width"].to_list() == [4, 8]
    assert found["augmentation"].to_list() == ["RandomCrop(padding=2)", None]
    assert found["model.depth"].to_list() == [20, None]
    assert found["recipe.optimiser.learning_rate"].to_list() == [0.1, 1.0]
    assert found["test_accuracy"].to_list() == [0.9, None]
    assert found.columns[:7] == ["trial", "study", "status", "seed", "attempt", "width", "augmentation"]
    assert not {"factors", "spec", "scores"} & set(found.columns)


def test_a_factor_wins_where_names_meet(store, row):
    """In the study that varies it; rows of another study show their spec or the table's own column."""
    with_factor = row("t_1", factors={"augmentation": "wide", "epochs": 30}, spec={"augmentation": "wide"}, epochs=12)
    without = row("t_2", spec={"augmentation": "RandomCrop(padding=4)", "seed": 7}, epochs=5, scores={"epochs": 99})
    found = trials(store, with_factor, without)
    assert found["augmentation"].to_list() == ["wide", "RandomCrop(padding=4)"]
    assert found["epochs"].to_list() == [30, 5]
    assert found["seed"].to_list() == [0, 0]
    assert len(found.columns) == len(set(found.columns))


def test_no_rows_have_the_columns_of_the_table(store):
    found = results(store.url).trials.collect()
    assert found.is_empty()
    assert found.schema["seconds"] == pl.Float64
    assert found.schema["finished"] == pl.Datetime("us", "UTC")
    assert "factors" not in found.columns


def test_null_columns_can_be_grouped_and_joined(store, row):
    found = trials(store, row("t_1", factors={"clip": None}), row("t_2", factors={"clip": None}))
    assert found.group_by("clip").len()["len"].to_list() == [2]
    assert found.write_csv().count("\n") == 3
    assert expand_columns(results(store.url)._all_rows.head(0)).is_empty()
