"""What is kept reads as the results did, without what nobody reads."""

import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equistudy.results import results
from equistudy.results.export import OMITTED_COLUMNS, archive_rows, write_safe_csv
from equistudy.results.store import Store

RUN = ("=", "+", "-", "@", "\t", "\r")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1))
def test_no_cell_begins_a_formula_and_every_text_can_be_read_back(texts: list[str]) -> None:
    rows = list(csv.reader(io.StringIO(write_safe_csv(pl.DataFrame({"name": texts})), newline="")))[1:]
    for text, (cell,) in zip(texts, rows, strict=True):
        assert not cell.startswith(RUN) or cell == "-" or isinstance(float(cell), float)
        assert cell in (text, f"'{text}")


def test_formulas_are_texts_and_numbers_stay_numbers() -> None:
    frame = pl.DataFrame({"=name": ["=1+1", "@SUM(A1)", "-1e-3", "-", "+x", "a=b", None], "value": [-1.5] * 7})
    text = write_safe_csv(frame)
    assert text.splitlines()[0] == "'=name,value"
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == [
        "'=1+1",
        "'@SUM(A1)",
        "-1e-3",
        "-",
        "'+x",
        "a=b",
        "",
    ]
    assert write_safe_csv(pl.DataFrame({"value": [-1, 2]})) == "value\n-1\n2\n"


@pytest.fixture
def filled(tmp_path, whole_trial):
    store = Store.open(tmp_path / "all")
    for number, trial in enumerate(("t_1", "t_2", "t_3")):
        whole_trial(store, trial, value=0.1 * number, scores={"test_accuracy": 0.9}, weights=f"weights/{trial}")
    return results(tmp_path / "all")


def test_the_trials_that_are_named_are_there_with_their_values(filled, tmp_path):
    store = Store.open(tmp_path / "kept")
    archive_rows(filled, store, ["t_1", "t_3"])
    kept = results(tmp_path / "kept")
    assert kept.trials.collect()["trial"].to_list() == ["t_1", "t_3"]
    assert kept.trials.collect()["test_accuracy"].to_list() == [0.9, 0.9]
    of = pl.col("trial").is_in(["t_1", "t_3"])
    order = ["trial", "stage", "value"]
    wanted, there = (
        found.measurements.filter(of).drop(OMITTED_COLUMNS).sort(order).collect() for found in (filled, kept)
    )
    assert there.equals(wanted)
    assert (
        kept.curves.collect().sort("trial", "epoch").equals(filled.curves.filter(of).sort("trial", "epoch").collect())
    )
    assert kept.attempts["weights"].to_list() == [None, None]


def test_measures_and_curves_can_be_chosen(filled, tmp_path):
    archive_rows(filled, Store.open(tmp_path / "kept"), ["t_2"], measures=["m_2"], curves=["accuracy"])
    kept = results(tmp_path / "kept")
    assert kept.trials.collect().height == 1
    assert kept.measurements.collect().is_empty()
    assert kept.curves.collect().is_empty()


def test_a_trial_that_is_there_stays_and_a_failure_is_kept_too(filled, tmp_path, row):
    Store.open(tmp_path / "all").write_trial(row("t_9", status="failed", message="boom"))
    store = Store.open(tmp_path / "kept")
    archive_rows(results(tmp_path / "all"), store, ["t_9", "t_1", "t_1"])
    archive_rows(results(tmp_path / "all"), store, ["t_1", "t_2"])
    kept = results(tmp_path / "kept").attempts
    assert dict(kept.select("trial", "status").iter_rows()) == {"t_1": "done", "t_2": "done", "t_9": "failed"}


def test_a_measure_that_a_kept_trial_lacks_is_added(filled, tmp_path):
    store = Store.open(tmp_path / "kept")
    archive_rows(filled, store, ["t_1"], measures=["m_2"])
    archive_rows(filled, store, ["t_1"], measures=["m_1"])
    assert results(tmp_path / "kept").measurements.collect().height == 2
