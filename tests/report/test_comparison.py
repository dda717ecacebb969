"""Shared networks count once, values of other revisions are left out and named, and the page needs nothing else."""

from dataclasses import replace

import polars as pl
import pytest

from equistudy.analysis.summary import summarise_compute
from equistudy.report.comparison import build_common_frame, describe_other_revisions, sum_compute, write_comparison
from equistudy.study.design import Factor, factorial
from tests.analysis.synthetic import CORRELATION, CROP, study, table, trial

WIDTHS = Factor("width", levels=(8, 64), unit="channels", log=True)
OTHER = study(design=factorial(trial, WIDTHS, CROP, seeds=range(3)), claims=())


@pytest.fixture(scope="module")
def tables():
    return {"capacity": table(), "wider": table(OTHER)}


def test_what_is_shared_costs_once(tables):
    spent = sum_compute(tables)
    assert spent["trials"].to_list() == [24 + 6]
    assert spent["seconds"].to_list() == [300.0]
    assert sum(summarise_compute(each)["trials"].sum() for each in tables.values()) == 24 + 12


def test_a_network_is_drawn_once_under_all_its_studies(tables):
    frame = build_common_frame(tables)
    assert frame["trial"].n_unique() == len(frame) == 30
    counts = dict(frame["study"].value_counts().iter_rows())
    assert counts == {"capacity": 18, "capacity, wider": 6, "wider": 6}


def test_values_of_another_measure_never_stand_on_the_same_axis(tables):
    far = replace(CORRELATION, max_pixels=9)
    apart = {"capacity": tables["capacity"], "far": table(study(measures=(far,), claims=()))}
    assert build_common_frame(apart).is_empty()


def test_other_revisions_are_named_and_left_out(tables):
    rows = tables["capacity"].measurement_rows
    old = rows.head(5).with_columns(revision=pl.lit(7, pl.Int64), measure_id=pl.lit("m_old"))
    assert describe_other_revisions(tables, rows) == []
    (told,) = describe_other_revisions(tables, pl.concat([rows, old.cast(rows.schema)]))
    assert told.startswith(
        "1 networks also have values of translation_correlation in revision 7; this page shows only rev"
    )


def test_the_page_says_each_verdict_and_what_is_shared(tables, tmp_path):
    path = write_comparison(tables, tables["capacity"].measurement_rows, "python -m equistudy compare a b", tmp_path)
    page = path.read_text()
    assert "6 of 30 networks belong to more than one study and count once." in page
    assert "<script" not in page
    assert {file.suffix for file in (tmp_path / "figures").iterdir()} == {".svg", ".png", ".csv"}
    assert "The study declares no claim" in page
    assert "Translation correlation falls with width" in page
    assert all((tmp_path / "tables" / f"{name}.csv").is_file() for name in ("studies", "compute"))
