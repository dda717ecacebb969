from dataclasses import replace

import polars as pl
import pytest

from equistudy.cli.status import load_requested_study, plan_study
from equistudy.cli.tables import (
    build_plan_record,
    build_status_record,
    compare_columns,
    format_columns,
    format_counts,
    format_differences,
    format_frame,
    format_plan,
    format_status,
)


def test_a_plan_names_every_trial_and_says_when_the_cost_is_unknown(made) -> None:
    head, *rows, empty, total, cost = format_plan(made())
    assert head.split() == ["trial", "state", "width", "seed", "seconds"]
    assert [row.split()[1:] for row in rows] == [["missing", w, s, "-"] for s in "01" for w in "24"]
    assert (empty, total) == ("", "4 trials: 4 missing")
    assert cost == "Cost: unknown until the first trial finishes; --pilot estimates it."


def test_a_plan_sums_the_cost_of_what_is_left(made, finish) -> None:
    small, large, *_ = made().trials
    finish(small.trial, small.levels)
    finish(large.trial, large.levels, reason="bug", message="no")
    plan = made()
    *_, total, cost = format_plan(plan)
    assert total == "4 trials: 1 done, 1 failed, 2 missing"
    # a replicate of a cell that is done, and a cell whose only trial has failed after its 10 s
    assert cost == "Cost of the 2 left: about 20 s run one by one, less with concurrent trials."
    record = build_plan_record(plan)
    assert record["counts"] == {"done": 1, "failed": 1, "missing": 2, "unmeasured": 0, "stopped": 0, "impossible": 0}
    assert record["seconds_left"] == 20.0
    assert record["trials"][0] == {"trial": small.id, "state": "done", "width": 2, "seed": 0, "seconds": 10.0}


def test_a_long_plan_is_cut(write, folder) -> None:
    from equistudy.cli.study_reference import StudyReference

    plan = plan_study(load_requested_study(StudyReference(write(("range(2)", "range(30)")), None, folder)), folder)[1]
    lines = format_plan(plan)
    assert len(lines) == 1 + 40 + 4
    assert "... and 20 more; --json prints all" in lines
    assert len(build_plan_record(plan)["trials"]) == 60


def test_a_search_says_how_often_it_draws(made) -> None:
    draws = "The search samples 7 trials; duplicates run once."
    assert format_plan(made(), 7)[-3:-1] == ["4 trials: 4 missing", draws]
    assert format_plan(replace(made(), trials=()), 7) == ["no trials yet", draws]


def test_numbers_and_words_agree() -> None:
    assert format_counts({"done": 1, "failed": 0}) == "1 trial: 1 done"
    assert format_counts({"done": 2, "failed": 1}) == "3 trials: 2 done, 1 failed"
    assert format_counts({"done": 0}) == "no trials yet"


def test_a_status_tells_what_runs_and_why_what_failed(made, finish) -> None:
    small = made().trials[0]
    finish(small.trial, small.levels, reason="bug", message="x" * 200 + "\nmore")
    signs = [{"trial": "t_2", "phase": "training", "epoch": 3, "epochs": 10, "levels": "width=4", "time": 0.0}]
    failed = [{"trial": small.id, "levels": "width=2, seed=0", "reason": "bug", "message": "x" * 200 + "\nmore"}]
    record = build_status_record(made(), signs, failed)
    assert record["running"] == signs
    assert record["failed"] == failed
    assert format_status(record, "python -m equistudy retry question.py") == [
        "4 trials: 1 failed, 3 missing",
        "",
        "1 running",
        "trial  levels   phase     progress",
        "t_2    width=4  training  epoch 3/10",
        "",
        "About 30 s of training and measuring left, one by one.",
        "",
        "1 failed: bug",
        f"{small.id}  width=2, seed=0",
        f"    {'x' * 157}...",
        "Run them again: python -m equistudy retry question.py",
    ]


def test_a_status_of_many_failures_is_cut(made) -> None:
    failed = [{"trial": f"t_{i}", "levels": "", "reason": "data" if i else "bug", "message": None} for i in range(50)]
    lines = format_status(build_status_record(made(), [], failed), "again")
    assert "1 failed: bug, 49 failed: data" in lines
    assert "... and 10 more; --json prints all" in lines


def test_columns_and_differences() -> None:
    a, b = {"seed": 0, "width": 2, "rate": 0.1, "only": 1}, {"seed": 0, "width": 4, "rate": 0.1, "other": None}
    assert format_columns(a) == ["seed   0", "width  2", "rate   0.1", "only   1"]
    assert compare_columns(a, b) == {"width": (2, 4), "only": (1, None)}
    assert format_differences(compare_columns(a, b)) == ["column  a  b", "width   2  4", "only    1  -"]
    assert format_differences(compare_columns(a, a)) == ["no difference: both are the same trial"]


def test_a_frame_shows_the_columns_that_differ_and_names_the_others_once() -> None:
    frame = pl.DataFrame({"study": ["s"] * 3, "empty": [None] * 3, "depth": [1, 2, 3], "trial": list("abc")})
    assert format_frame(frame, 80) == [
        "trial  depth",
        "a      1",
        "b      2",
        "c      3",
        "",
        "In all rows: study=s",
        "3 rows",
    ]


def test_a_frame_fits_into_a_width() -> None:
    frame = pl.DataFrame({"trial": ["a", "b"], "text": ["x" * 50 + "\ny", "z"], "more": [1.0, 2.0]})
    table = format_frame(frame, 20)
    assert table[:3] == ["trial", "a", "b"]
    assert table[-1] == "2 rows, 2 more columns; --csv and --json print all"
    assert format_frame(frame, 50)[1] == f"a      {'x' * 37}..."
    assert format_frame(frame, 60)[0].split() == ["trial", "text", "more"]


def test_a_long_frame_is_cut() -> None:
    assert format_frame(pl.DataFrame({"trial": range(100)}), 80)[-1] == "40 of 100 rows"


@pytest.mark.parametrize(("rows", "lines"), [([], ["0 rows"]), ([1], ["x", "1", "", "1 rows"])])
def test_small_frames(rows: list[int], lines: list[str]) -> None:
    assert format_frame(pl.DataFrame({"x": pl.Series(rows, dtype=pl.Int64)}), 80) == lines


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    assert format_frame(pl.DataFrame({"a": ["x" * 9, "y"], "b": [1, 2]}))[0] == "a"
