"""What a store writes is there, once, whatever else happens."""

import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from equistudy.results import files as files_module
from equistudy.results import store as store_module
from equistudy.results.compaction import compact
from equistudy.results.files import RemoteFiles, StorageError
from equistudy.results.schema import SCHEMA_VERSION, CurveRow
from equistudy.results.store import Store

ROOT = Path(__file__).parents[2]


def test_opening_twice_is_the_same_store(tmp_path):
    store = Store.open(tmp_path / "results")
    assert json.loads((tmp_path / "results" / "equistudy.json").read_text()) == {"schema": SCHEMA_VERSION}
    assert Store.open(str(tmp_path / "results"), create=False) == store
    assert Store.open(f"file://{tmp_path}/results") == store
    assert store.is_local
    assert store.url == str(tmp_path / "results")


def test_nothing_there(tmp_path):
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"There are no results in .*. Check --results, or run the study first"
        ):
            Store.open(folder, create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("create", [True, False])
def test_foreign_folder(tmp_path, create):
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (tmp_path / name).touch()
    message = (
        r"not a results folder of equistudy: it has no equistudy.json but holds a.txt, b.txt, c.txt, .*Choose an empty"
    )
    with pytest.raises(ValueError, match=message):
        Store.open(tmp_path, create=create)


def test_hidden_files_make_no_folder_foreign(tmp_path):
    (tmp_path / ".DS_Store").touch()
    assert Store.open(tmp_path).list_names("") == ["equistudy.json"]


def test_newer_version(tmp_path):
    (tmp_path / "equistudy.json").write_text('{"schema": 99}')
    with pytest.raises(ValueError, match=rf"version 99, .* reads up to {SCHEMA_VERSION}.*Update equistudy"):
        Store.open(tmp_path)


def test_older_version_is_read_and_marked_when_written(tmp_path):
    (tmp_path / "equistudy.json").write_text('{"schema": 0}')
    Store.open(tmp_path, create=False)
    assert json.loads((tmp_path / "equistudy.json").read_text()) == {"schema": 0}
    Store.open(tmp_path)
    assert json.loads((tmp_path / "equistudy.json").read_text()) == {"schema": SCHEMA_VERSION}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "new"}'])
def test_broken_marker(tmp_path, text):
    (tmp_path / "equistudy.json").write_text(text)
    with pytest.raises(ValueError, match=r"equistudy.json in .* says which version .* Restore the file, or write"):
        Store.open(tmp_path)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(StorageError, match=r"Not a directory\. A file is in the way: choose another folder"):
        Store.open(tmp_path / "results")


def test_a_folder_that_another_run_creates_at_this_moment(tmp_path, monkeypatch):
    store = Store.open(tmp_path)
    answers = iter([None, b'{"schema": 1}'])
    monkeypatch.setattr(files_module.LocalFiles, "read", lambda self, name: next(answers))
    assert Store.open(tmp_path) == store


def test_rows_are_there_after_writing(store, whole_trial):
    assert not store.has_trial("t_1")
    assert not store.has_measurements("t_1", 0, "m_1")
    whole_trial(store, "t_1")
    assert store.has_trial("t_1")
    assert store.has_measurements("t_1", 0, "m_1")
    assert not store.has_measurements("t_1", 1, "m_1")
    assert not store.has_trial("t_2")
    assert (store.list_names("trials"), store.list_names("curves")) == (["t_1.0.parquet"], ["t_1.0.parquet"])
    assert store.list_names("measurements") == ["t_1.0.m_1.parquet"]


def test_a_compacted_row_is_still_there(store, whole_trial):
    whole_trial(store, "t_1")
    store.write_measurements("t_1", 0, "m_2", [])
    compact(store)
    assert store.list_names("trials") == ["compacted"]
    for seen in (store, pickle.loads(pickle.dumps(store))):
        assert seen.has_trial("t_1")
        assert seen.has_measurements("t_1", 0, "m_1")
        assert seen.has_measurements("t_1", 0, "m_2")
        assert not seen.has_trial("t_2")
        assert not seen.has_measurements("t_1", 0, "m_3")
        assert seen.list_statuses() == {"t_1": "done"}


def test_finished_knows_every_trial_once(store, row):
    store.write_trial(row("t_1", 0, "failed"))
    store.write_trial(row("t_1", 1, "done"))
    store.write_trial(row("t_2", 0, "failed"))
    store.write_trial(row("t_3", 0, "done"))
    assert store.list_statuses() == {"t_1": "done", "t_2": "failed", "t_3": "done"}


@pytest.mark.parametrize("order", [("done", "failed"), ("failed", "done")])
def test_of_two_runs_at_once_the_one_that_is_done_wins(store, row, order):
    for status in order:
        store.write_trial(row(status=status))
    assert store.list_statuses() == {"t_1": "done"}


@pytest.mark.parametrize("order", [("done", "failed"), ("failed", "done")])
@pytest.mark.parametrize("remote", [False, True])
def test_a_failure_loses_no_success_between_asking_and_writing(tmp_path, monkeypatch, row, order, remote):
    """On an object store, and without hard links, no writer can ask and write in one step."""
    no_links = OSError(errno.EPERM, "Operation not permitted")
    monkeypatch.setattr(Path, "hardlink_to", lambda *arguments: (_ for _ in ()).throw(no_links))
    monkeypatch.setattr(files_module, "OBJECT_STORES", {"local"})
    store = Store.open(tmp_path / "results")
    (tmp_path / "results" / "trials").mkdir()
    store = Store(RemoteFiles(f"file://{tmp_path}/results")) if remote else store
    first, second = order
    exists = type(store.files).exists

    def late(self, name):
        """The other run writes its row just after this one has looked."""
        found = exists(self, name)
        if name.startswith("trials/") or name == "equistudy.json":
            monkeypatch.setattr(type(store.files), "exists", exists)
            store.write_trial(row(status=second, scores={"by": 2.0}))
        return found

    monkeypatch.setattr(type(store.files), "exists", late)
    store.write_trial(row(status=first, scores={"by": 1.0}))
    assert store.list_statuses() == {"t_1": "done"}
    assert store.has_trial("t_1")


def test_a_failed_row_of_earlier_versions_counts(store, row):
    store.write_trial(row(status="failed"))
    (path,) = Path(store.url, "trials").iterdir()
    path.rename(path.with_name("t_1.0.parquet"))
    assert store.has_trial("t_1")
    assert store.list_statuses() == {"t_1": "failed"}
    store.write_trial(row())
    assert store.list_statuses() == {"t_1": "done"}


def writes(store, row, measurement):
    return (
        lambda: store.write_trial(row()),
        lambda: store.write_curves("t_1", 0, []),
        lambda: store.write_measurements("t_1", 0, "m_1", [measurement()]),
        lambda: store.write_bytes("weights/t_1", b"1"),
        lambda: store.write_sealed("checkpoints/t_1", b"1"),
    )


@pytest.mark.parametrize("number", range(5))
def test_a_marker_lost_during_a_run_is_noticed_at_the_next_write(store, row, measurement, number):
    write = writes(store, row, measurement)[number]
    write()
    marker = Path(store.url, "equistudy.json")
    marker.unlink()
    with pytest.raises(
        StorageError, match=r'keep their equistudy\.json during a run.*write {"schema": 2} into'
    ) as caught:
        write()
    assert caught.value.lasting
    with pytest.raises(ValueError, match="has a file equistudy.json" if number < 3 else "is not a results folder"):
        Store.open(store.url)
    marker.write_text('{"schema": 1}')
    write()


@pytest.mark.parametrize("number", range(5))
def test_results_that_are_gone_do_not_come_back_as_a_nameless_folder(store, row, measurement, number):
    writes(store, row, measurement)[0]()
    shutil.rmtree(store.url)
    with pytest.raises(StorageError, match=r"got nothing at .*Move them back, or run the same command again") as caught:
        writes(store, row, measurement)[number]()
    assert caught.value.lasting
    assert not Path(store.url).exists()


def test_measurements_know_how_long_they_took(store, measurement):
    store.write_measurements("t_1", 0, "m_1", [measurement()], seconds=2.5)
    (read,) = pq.read_table(f"{store.url}/measurements/t_1.0.m_1.parquet").to_pylist()
    assert (read["trial"], read["attempt"], read["seconds"], read["value"]) == ("t_1", 0, 2.5, 0.5)


def test_measurements_of_another_measure_are_refused(store, measurement):
    with pytest.raises(ValueError, match=r"Measurements of m_2 carry its id, got measure_id='m_1'"):
        store.write_measurements("t_1", 0, "m_2", [measurement()])


@pytest.mark.parametrize("trial", ["t.1", "../t_1", "", "t/1", "t_\u00e9"])
def test_ids_that_are_no_file_names_are_refused(store, trial):
    with pytest.raises(ValueError, match=r"An id consists of letters, digits, _ and -, got .* Use Trial.id"):
        store.write_curves(trial, 0, [])


def test_attempts_count_from_zero(store):
    with pytest.raises(ValueError, match="Attempts count from 0, got attempt=-1"):
        store.write_curves("t_1", -1, [])


def test_bytes(store):
    assert store.read_bytes("checkpoints/a.pt") is None
    store.write_bytes("checkpoints/a.pt", b"1")
    store.write_bytes("checkpoints/a.pt", b"2")
    assert store.read_bytes("checkpoints/a.pt") == b"2"
    assert store.list_names("checkpoints") == ["a.pt"]
    store.delete("checkpoints/a.pt")
    assert store.list_names("checkpoints") == []


def test_a_store_on_an_object_store(tmp_path, monkeypatch, whole_trial):
    """Through pyarrow's file systems, as on S3; the stand-in has folders, which an object store has not."""
    monkeypatch.setattr(files_module, "OBJECT_STORES", {"local"})
    monkeypatch.setattr(store_module, "open_files", RemoteFiles)
    for folder in ("trials", "curves", "measurements"):
        (tmp_path / folder).mkdir()
    (tmp_path / "equistudy.json").write_text('{"schema": 1}')
    store = Store.open(f"file://{tmp_path}")
    assert not store.is_local
    whole_trial(store, "t_1")
    assert pickle.loads(pickle.dumps(store)).list_statuses() == {"t_1": "done"}
    assert store.has_measurements("t_1", 0, "m_1")
    for folder in ("trials", "curves", "measurements"):
        (tmp_path / folder / "compacted").mkdir()
    compact(store)
    assert store.list_names("trials") == ["compacted"]
    assert store.has_trial("t_1")


def test_writers_import_neither_torch_nor_polars_nor_ray():
    code = "import sys; from equistudy.results.store import Store; Store.open(sys.argv[1]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "/dev/null/x"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "StorageError" in done.stderr
    code = "import sys, equistudy.results.store; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"torch", "polars", "ray", "timm", "pandas"} & set(done.stdout.split())


WRITER = """
import sys
from equistudy.results.schema import CurveRow, TrialRow
from equistudy.results.store import Store
store, first = Store.open(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
for index in range(first, first + int(sys.argv[3])):
    store.write_curves(f"t_{index}", 0, [CurveRow(epoch, "train", "loss", 0.5) for epoch in range(2)])
    store.write_trial(TrialRow(f"t_{index}", 0, "study", "done", 0, "{}", "{}"))
"""


def start_writer(store, first, count):
    command = [sys.executable, "-c", WRITER, store.url, str(first), str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return process


@pytest.mark.slow
def test_concurrent_writers_lose_nothing(store):
    writers = [start_writer(store, first, 20) for first in (0, 10, 20)]  # the second writes what the others write too
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert store.list_statuses() == {f"t_{index}": "done" for index in range(40)}


def test_killed_writers_leave_every_row_whole(store):
    for delay in (0.01, 0.03, 0.06):
        writer = start_writer(store, 0, 10_000)
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        finished = store.list_statuses()
        for trial in finished:
            assert pq.read_table(f"{store.url}/curves/{trial}.0.parquet").num_rows == 2
    assert os.listdir(store.url)  # noqa: PTH208
    compact(store)
    assert store.list_statuses() == finished
    assert CurveRow(0, "train", "loss", 0.5)


def test_what_may_pass_is_tried_again_and_what_lasts_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PAUSE", 0.01)
    store, flushed = Store.open(tmp_path / "results"), os.fsync
    left = [errno.ENOSPC, errno.EIO]

    def failing(descriptor: int) -> None:
        if left:
            raise OSError(left.pop(), "no")
        flushed(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match="no"):
        store.write_bytes("a", b"1")
    store.with_patience(10).write_bytes("a", b"2")
    assert left == []
    assert store.read_bytes("a") == b"2"
    left[:] = [errno.ENOSPC, errno.EACCES]
    with pytest.raises(StorageError, match="Choose a folder that you can write to"):
        store.with_patience(10).write_bytes("a", b"3")
    assert left == [errno.ENOSPC]
    assert pickle.loads(pickle.dumps(store.with_patience(10))).patience == 10
