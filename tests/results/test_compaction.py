"""Compaction changes the files and never the rows, wherever it is killed and whoever else is at work."""

import itertools
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from equistudy.results import compaction as module
from equistudy.results import results
from equistudy.results.compaction import compact
from equistudy.results.files import LocalFiles
from equistudy.results.inventory import Inventory
from equistudy.results.schema import CurveRow
from equistudy.results.store import Store

ROOT = Path(__file__).parents[2]


def tables(store):
    """Every row of every table, in a fixed order."""
    found = results(store.url)
    frames = (found.trials, found.curves, found.measurements)
    return [sorted(frame.collect().rows(), key=repr) for frame in frames]


def files(store):
    return sorted(str(path.relative_to(store.url)) for path in Path(store.url).rglob("*.parquet"))


@pytest.fixture
def filled(store, whole_trial, row):
    for index in range(6):
        whole_trial(store, f"t_{index}", value=index / 8, factors={"width": index})
    store.write_trial(row("t_bad", status="failed"))
    return store


def test_rows_stay_and_files_become_few(filled):
    before = tables(filled)
    summary = compact(filled)
    assert tables(filled) == before
    assert len(files(filled)) == 4
    assert (summary.files_before, summary.files_after, summary.rows, summary.swept) == (19, 4, 30, 0)
    assert str(summary) == "19 files -> 4, 30 rows rewritten"


def test_twice_is_once(filled):
    compact(filled)
    before = files(filled)
    assert compact(filled).rows == 0
    assert files(filled) == before


def test_nothing_to_compact(store):
    assert compact(store) == (0, 0, 0, 0)


def test_growth_is_merged(filled, whole_trial):
    compact(filled)
    whole_trial(filled, "t_7")
    before = tables(filled)
    compact(filled)
    assert tables(filled) == before
    assert len(files(filled)) == 4


def test_failures_stay_small_so_that_another_run_can_replace_them(store, row):
    store.write_trial(row("t_1", status="failed"))
    store.write_trial(row("t_2"))
    compact(store)
    assert "trials/t_1.0.failed.parquet" in files(store)
    store.write_trial(row("t_1"))
    compact(store)
    assert store.list_statuses() == {"t_1": "done", "t_2": "done"}
    store.write_trial(row("t_1", status="failed"))  # a slower run, after its row was compacted
    assert store.list_statuses() == {"t_1": "done", "t_2": "done"}
    assert results(store.url).trials.collect()["status"].to_list() == ["done", "done"]


def read_curve(store, trial):
    return results(store.url).curves.filter(trial=trial).collect()["value"].to_list()


def curve(*values):
    return [CurveRow(epoch, "train", "loss", value) for epoch, value in enumerate(values)]


@pytest.mark.parametrize("status", [None, "failed"])
def test_curves_of_an_unfinished_trial_do_not_win_over_those_of_its_retraining(store, row, status):
    """Compacted while the trial is interrupted, which has left its curves, or while another run failed at it."""
    store.write_trial(row("t_2"))
    store.write_curves("t_1", 0, curve(9.0))
    if status:
        store.write_trial(row("t_1", status=status))
    compact(store)
    assert (Path(store.url) / "curves" / "t_1.0.parquet").exists()
    store.write_curves("t_1", 0, curve(1.0, 0.5))
    store.write_trial(row("t_1"))
    for _ in range(3):
        assert read_curve(store, "t_1") == [1.0, 0.5]
        compact(store)


def test_what_is_written_again_wins_over_what_was_compacted(store, row, whole_trial):
    """The compacted file of rows was moved away, so the trials are trained again; their old curves are still there."""
    whole_trial(store, "t_1", value=9.0)
    whole_trial(store, "t_2", value=7.0)
    compact(store)
    for path in (Path(store.url) / "trials" / "compacted").iterdir():
        path.unlink()
    whole_trial(Store.open(store.url), "t_1", value=1.0)
    whole_trial(Store.open(store.url), "t_2", value=2.0)
    for _ in range(3):
        assert (read_curve(store, "t_1"), read_curve(store, "t_2")) == ([1.0, 1.0], [2.0, 2.0])
        assert set(results(store.url).measurements.filter(trial="t_1").collect()["value"]) == {1.0}
        compact(Store.open(store.url))
    assert len(files(store)) == 3


def test_files_are_bounded(filled, monkeypatch):
    before = tables(filled)
    small = tuple(replace(table, max_rows=4) for table in module.TABLES)
    filled.inventories.update({table.name: Inventory(filled.files, table) for table in small})
    monkeypatch.setattr(module, "TRIALS", small[0])
    compact(filled)
    assert tables(filled) == before
    assert len([name for name in files(filled) if name.startswith("curves/compacted")]) == 3
    assert compact(filled).rows == 0


def killed_after(monkeypatch, calls):
    """Lets a compaction die before the n-th time that it writes or deletes."""
    counter = itertools.count(1)

    def dying(real):
        def call(self, *arguments, **options):
            if next(counter) >= calls:
                raise KeyboardInterrupt
            return real(self, *arguments, **options)

        return call

    monkeypatch.setattr(LocalFiles, "write", dying(LocalFiles.write))
    monkeypatch.setattr(LocalFiles, "delete", dying(LocalFiles.delete))
    monkeypatch.setattr(LocalFiles, "threads", 1)


@pytest.mark.parametrize("calls", [1, 2, 3, 7, 8, 9, 12, 15, 18, 21])
def test_killed_anywhere(filled, whole_trial, calls):
    compact(filled)
    for index in range(6, 12):
        whole_trial(filled, f"t_{index}", value=index / 8)
    before = tables(filled)
    with pytest.MonkeyPatch.context() as patch:
        killed_after(patch, calls)
        with pytest.raises(KeyboardInterrupt):
            compact(filled)
    assert tables(filled) == before
    compact(filled)
    assert tables(filled) == before
    assert len(files(filled)) == 4
    assert compact(filled).rows == 0


ENDLESS = """
import sys
from equistudy.results.compaction import compact
from equistudy.results.schema import CurveRow, TrialRow
from equistudy.results.store import Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
for index in range(int(sys.argv[2]), 100_000):
    store.write_curves(f"t_{index}", 0, [CurveRow(epoch, "train", "loss", 0.5) for epoch in range(2)])
    store.write_trial(TrialRow(f"t_{index}", 0, "study", "done", 0, "{}", "{}"))
    if index % 4 == 0:
        compact(store)
"""


def test_killed_by_the_system(store):
    """No trial that was there is ever gone, and none is doubled."""
    seen = set()
    for round, delay in enumerate((0.02, 0.05, 0.09, 0.13)):
        command = [sys.executable, "-c", ENDLESS, store.url, str(round * 1000)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = results(store.url)
        trials = found.trials.collect()["trial"].to_list()
        assert len(trials) == len(set(trials))
        assert seen <= set(trials)
        assert set(found.curves.group_by("trial").len().collect()["len"]) <= {2}
        seen = set(trials)
    compact(store)
    assert set(results(store.url).trials.collect()["trial"]) == seen


def test_two_compactions_at_once(filled, whole_trial):
    """Two threads of one process are as unsynchronised as two processes."""
    for index in range(6, 24):
        whole_trial(filled, f"t_{index}", value=index / 8)
    before = tables(filled)
    for _ in range(3):
        threads = [threading.Thread(target=lambda: compact(Store.open(filled.url))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert tables(filled) == before
    compact(filled)
    assert tables(filled) == before
    assert len(files(filled)) == 4


def test_an_overlap_is_resolved(filled, monkeypatch):
    """Two compactions that saw different files leave one unit in two compacted files."""
    before = tables(filled)
    real = LocalFiles.delete
    monkeypatch.setattr(LocalFiles, "delete", lambda self, name: None)
    compact(filled)
    Path(filled.url, "curves", "t_0.0.parquet").unlink()
    compact(filled)
    monkeypatch.setattr(LocalFiles, "delete", real)
    assert tables(filled) == before
    compact(filled)
    assert tables(filled) == before
    assert len(files(filled)) == 4


def test_unfinished_files_of_killed_writers_are_swept(filled, monkeypatch):
    monkeypatch.setattr(module, "ABANDONED_SECONDS", -1.0)
    for folder in ("", "trials", "weights"):
        Path(filled.url, folder).mkdir(exist_ok=True)
        Path(filled.url, folder, ".a.host.1.0.tmp").write_bytes(b"half")
    summary = compact(filled)
    assert summary.swept == 3
    assert str(summary).endswith("; 3 unfinished files of killed writers deleted")


def test_weights_and_checkpoints_stay(filled):
    filled.write_bytes("weights/t_1.0.safetensors", b"1")
    filled.write_bytes("checkpoints/t_8.0.pt", b"2")
    compact(filled)
    assert filled.read_bytes("weights/t_1.0.safetensors") == b"1"
    assert filled.read_bytes("checkpoints/t_8.0.pt") == b"2"
