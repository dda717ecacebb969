"""Rows, curves, measurements and weights of a trial come from one process, however the writes of several interleave."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equistudy.results import results
from equistudy.results.compaction import compact
from equistudy.results.schema import CurveRow, TrialRow, TrialStatus
from equistudy.results.store import Store

TRIAL, MEASURE = "t_1", "m_1"
WRITERS = (None, "w1", "w2", "w3")  # None: an equistudy that wrote schema 1

Write = tuple[str, int, str | None]


@dataclass
class Oracle:
    """All that was ever written, in lists that are searched from the definition."""

    curves: dict[tuple[int, str | None], float] = field(default_factory=dict)
    measured: dict[tuple[int, str | None], float] = field(default_factory=dict)
    rows: set[tuple[int, str, str | None]] = field(default_factory=set)

    @property
    def best(self) -> set[tuple[int, str, str | None]]:
        """The rows of which one must count: done before failed, then the last attempt."""
        done = {row for row in self.rows if row[1] == "done"} or self.rows
        last = max(attempt for attempt, *_ in done)
        return {row for row in done if row[0] == last}


def apply_write(store: Store, oracle: Oracle, write: Write, number: int) -> None:
    verb, attempt, writer = write
    value = float(number)
    if verb == "curves":
        store.write_curves(TRIAL, attempt, [CurveRow(1, "test", "loss", value)], writer)
        oracle.curves[attempt, writer] = value
    elif verb == "measure":
        rows = [{"measure_id": MEASURE, "measure": "m", "value": value}]
        store.write_measurements(TRIAL, attempt, MEASURE, rows, writer=writer)
        oracle.measured[attempt, writer] = value
    elif verb == "compact":
        compact(store)
    else:
        reason = None if verb == TrialStatus.DONE else "bug"
        store.write_trial(TrialRow(TRIAL, attempt, "s", verb, 0, "{}", "{}", reason, writer=writer))
        oracle.rows.add((attempt, verb, writer))


def read_trial(store: Store) -> tuple[dict[str, Any] | None, list[float], list[float], set[tuple[str, str]]]:
    found = results(store.url)
    rows = found.attempts.rows(named=True)
    assert len(rows) <= 1
    curves = found.curves.collect()["value"].to_list()
    return rows[0] if rows else None, curves, found.measurements.collect()["value"].to_list(), found.list_measured()


VERBS = st.sampled_from(["curves", "measure", "done", "failed", "compact"])
WRITES = st.lists(st.tuples(VERBS, st.integers(0, 1), st.sampled_from(WRITERS)), min_size=1, max_size=14)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WRITES)
def test_interleaved_writers_never_mix(writes: list[Write]) -> None:
    with TemporaryDirectory() as folder:
        store, oracle = Store.open(Path(folder) / "results"), Oracle()
        for number, write in enumerate(writes):
            # what a compaction keeps is written by nobody again: its writer has written its row, which comes last
            if write[0] in ("curves", "measure") and (write[1], "done", write[2]) in oracle.rows:
                continue
            apply_write(store, oracle, write, number)
        row, curves, measured, pairs = read_trial(store)
        if row is None:
            assert (oracle.rows, curves, measured, pairs) == (set(), [], [], set())
            return
        assert (row["attempt"], row["status"], row["writer"]) in oracle.best
        key = row["attempt"], row["writer"]
        assert curves == [value for written, value in oracle.curves.items() if written == key]
        assert measured == [value for written, value in oracle.measured.items() if written == key]
        assert pairs == ({(TRIAL, MEASURE)} if key in oracle.measured else set())
        compact(store)
        assert read_trial(store)[1:] == (curves, measured, pairs)


def test_two_runs_of_one_attempt_keep_each_its_own(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    oracle = Oracle()
    first, second = ("curves", 0, "w1"), ("curves", 0, "w2")
    for number, write in enumerate([first, second, ("measure", 0, "w2"), ("measure", 0, "w1"), ("done", 0, "w1")]):
        apply_write(store, oracle, write, number)
    assert read_trial(store)[1:3] == ([0.0], [3.0])
    apply_write(store, oracle, ("done", 0, "w2"), 5)  # its row replaces the other, and brings its curves with it
    assert read_trial(store)[1:3] == ([1.0], [2.0])
    assert not store.has_measurements(TRIAL, 0, MEASURE)
    assert store.has_measurements(TRIAL, 0, MEASURE, "w1")


def test_results_of_schema_1_stay_readable_and_are_raised_when_a_run_writes(tmp_path: Path) -> None:
    store, oracle = Store.open(tmp_path), Oracle()
    for number, verb in enumerate(["curves", "measure", "done", "compact"]):
        apply_write(store, oracle, (verb, 0, None), number)
    (tmp_path / "equistudy.json").write_text('{"schema": 1}')
    assert read_trial(store)[1:] == ([0.0], [1.0], {(TRIAL, MEASURE)})
    assert json.loads((tmp_path / "equistudy.json").read_text()) == {"schema": 1}  # a reader changes nothing
    again = Store.open(tmp_path)
    assert json.loads((tmp_path / "equistudy.json").read_text()) == {"schema": 2}
    apply_write(again, oracle, ("done", 1, "w1"), 4)
    assert read_trial(again)[1:3] == ([], [])
