"""Readers see every row that counts exactly once, in one schema, or an error that names the file."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import equistudy as eq
from equistudy.results import results
from equistudy.results.compaction import compact
from equistudy.results.files import LocalFiles
from equistudy.results.schema import CURVES, TRIALS, CurveRow
from equistudy.results.store import Store
from equistudy.spec import flatten_spec

ROOT = Path(__file__).parents[2]


def test_empty_results_have_the_schema(store):
    found = results(store.url)
    assert found.trials.collect().height == 0
    assert found.curves.collect().schema == {
        "trial": pl.String,
        "attempt": pl.Int64,
        "epoch": pl.Int64,
        "split": pl.String,
        "name": pl.String,
        "value": pl.Float64,
    }
    assert found.measurements.collect().height == 0
    assert found.measurements.collect_schema()["grid_aligned"] == pl.Boolean
    assert (found.list_finished(), found.list_measured()) == ([], set())


def test_nothing_to_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="There are no results in"):
        results(tmp_path / "absent")


@pytest.mark.parametrize("compacted", [False, True])
def test_three_frames(store, whole_trial, compacted):
    whole_trial(store, "t_1", factors={"width": 4}, value=0.25)
    whole_trial(store, "t_2", factors={"width": 8}, value=0.75)
    if compacted:
        compact(store)
    found = results(store.url)
    joined = found.measurements.join(found.trials, on="trial").group_by("width").agg(pl.col("value").mean(), pl.len())
    assert joined.sort("width").collect().rows() == [(4, 0.25, 2), (8, 0.75, 2)]
    last = found.curves.filter(pl.col("epoch") == 1).sort("trial").select("trial", "value").collect()
    assert last.rows() == [("t_1", 0.25), ("t_2", 0.75)]
    assert found.curves.head(3).collect().height == 3
    assert found.measurements.select(pl.len()).collect().item() == 4


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize(
    ("attempts", "kept"),
    [
        ([(0, "done")], (0, "done")),
        ([(0, "failed"), (1, "done")], (1, "done")),
        ([(0, "failed"), (1, "failed")], (1, "failed")),
        ([(0, "done"), (1, "done"), (2, "failed")], (1, "done")),
        ([(0, "failed"), (1, "done"), (2, "done")], (2, "done")),
        ([(9, "failed"), (10, "failed")], (10, "failed")),
    ],
)
def test_one_attempt_counts(store, whole_trial, attempts, kept, compacted):
    for attempt, status in attempts:
        whole_trial(store, "t_1", attempt, value=float(attempt), status=status)
    if compacted:
        compact(store)
    found = results(store.url)
    assert found.trials.select("attempt", "status").collect().rows() == [kept]
    assert [(row["attempt"], row["status"]) for row in found.list_finished()] == [kept]
    assert found.curves.select("attempt", "value").collect().rows() == [(kept[0], float(kept[0]))] * 2
    assert found.measurements.select("attempt", "value").collect().rows() == [(kept[0], float(kept[0]))] * 2
    assert found.list_measured() == {("t_1", "m_1")}


def test_rows_of_an_unfinished_trial_do_not_show(store, measurement):
    store.write_curves("t_1", 0, [CurveRow(0, "train", "loss", 1.0)])
    store.write_measurements("t_1", 0, "m_1", [measurement()])
    found = results(store.url)
    assert found.curves.collect().is_empty()
    assert found.measurements.collect().is_empty()
    assert found.list_measured() == set()
    compact(store)
    assert results(store.url).curves.collect().is_empty()


def test_what_a_plan_asks(store, row, measurement):
    store.write_trial(row("t_1", seconds=2.0, measuring_seconds=0.5, weights="weights/t_1.0.safetensors"))
    store.write_trial(row("t_2", status="failed"))
    store.write_measurements("t_1", 0, "m_none", [])
    found = results(store.url)
    assert found.list_finished() == [
        {
            "trial": "t_1",
            "attempt": 0,
            "status": "done",
            "reason": None,
            "seconds": 2.0,
            "measuring_seconds": 0.5,
            "weights": "weights/t_1.0.safetensors",
            "writer": None,
        },
        {
            "trial": "t_2",
            "attempt": 0,
            "status": "failed",
            "reason": "bug",
            "seconds": None,
            "measuring_seconds": None,
            "weights": None,
            "writer": None,
        },
    ]
    assert found.list_measured() == {("t_1", "m_none")}
    compact(store)
    assert results(store.url).list_measured() == {("t_1", "m_none")}


def test_identities_are_the_columns_that_went_into_the_ids(store, row):
    trial = eq.Trial(eq.ResNet(8, 2), eq.Digits(), eq.Classification(), eq.RandomCrop(padding=2), eq.Recipe(), seed=3)
    columns = trial.build_columns()
    store.write_trial(row(trial.id, spec=flatten_spec(trial), fingerprint=columns["fingerprint"]))
    store.write_trial(row("t_other", spec={"seed": 0}))
    found = results(store.url)
    assert found.find_identities(trial.id[:6]) == {trial.id: columns}
    assert found.find_identities("t_o") == {"t_other": {"seed": 0, "fingerprint": None, "trial": "t_other"}}
    assert found.find_identities().keys() == {trial.id, "t_other"}
    assert found.find_identities("t_x") == {}


def test_older_and_newer_files_are_read(store, whole_trial):
    """Columns missing, columns too many, whole numbers for floats: one schema comes out."""
    whole_trial(store, "t_1", value=0.5)
    path = Path(store.url, "curves", "t_1.0.parquet")
    old = pa.table({"trial": ["t_1"], "attempt": pa.array([0], pa.int32()), "epoch": [7], "value": [3], "extra": ["x"]})
    path.write_bytes(CURVES.encode_table(old, ["t_1.0"]))
    whole_trial(store, "t_2", value=0.5)
    for _ in range(2):
        found = results(store.url).curves.sort("trial", "epoch").collect()
        assert found.row(0) == ("t_1", 0, 7, None, None, 3.0)
        assert found.height == 3
        compact(store)
    assert "extra" in pq.read_table(next(Path(store.url, "curves", "compacted").iterdir())).column_names


def test_a_newer_column_survives_compaction(store, row):
    newer = pa.Table.from_pylist([{"trial": "t_1", "attempt": 0, "status": "done", "energy": 1.5}])
    store.write_bytes("trials/t_1.0.parquet", TRIALS.encode_table(newer, ["t_1.0.done"]))
    store.write_trial(row("t_2"))
    compact(store)
    (file,) = Path(store.url, "trials", "compacted").iterdir()
    assert pq.read_table(file)["energy"].to_pylist() == [1.5, None]


DAMAGE = {
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "foreign": lambda data: b"study,accuracy\ncapacity,0.9\n",
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("table", ["trials", "curves", "measurements"])
def test_a_damaged_file_is_named(store, whole_trial, table, kind):
    for trial in ("t_1", "t_2", "t_3"):
        whole_trial(store, trial)
    (path,) = Path(store.url, table).glob("t_2.*")
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    message = rf"Parquet files that equistudy wrote, got {table}/{path.name} in .*Move that file away"
    with pytest.raises(ValueError, match=message):
        getattr(results(store.url), table).collect()
    with pytest.raises(ValueError, match=message):
        compact(store)
    path.unlink()
    assert getattr(results(store.url), table).select(pl.col("trial").n_unique()).collect().item() == 2


def test_other_files_in_the_folders_are_left_alone(store, whole_trial):
    whole_trial(store, "t_1")
    for name in ("notes.txt", ".t_1.0.parquet.host.1.0.tmp", "_SUCCESS"):
        Path(store.url, "trials", name).write_text("something else")
    assert results(store.url).trials.collect().height == 1
    assert store.list_statuses() == {"t_1": "done"}


def test_frames_made_before_a_compaction_are_collected_after_it(store, whole_trial):
    whole_trial(store, "t_1", value=0.25)
    found = results(store.url)
    curves = found.curves.select(pl.col("value").sum())
    measurements = found.measurements.select(pl.col("value").mean())
    compact(store)
    assert (curves.collect().item(), measurements.collect().item()) == (0.5, 0.25)
    whole_trial(store, "t_2", value=0.75)
    compact(store)
    assert (curves.collect().item(), measurements.collect().item()) == (0.5, 0.25)


def test_files_that_vanish_after_listing_are_looked_for_again(store, whole_trial, monkeypatch):
    whole_trial(store, "t_1", value=0.25)
    other = Store.open(store.url)
    real, calls = LocalFiles.list_regular, []

    def compacted_just_after_listing(self, folder):
        names = real(self, folder)
        if folder == "measurements/compacted" and len(calls) < 2:
            calls.append(folder)
            if len(calls) == 2:
                compact(other)
        return names

    found = results(store.url)
    found.trials.collect()
    monkeypatch.setattr(LocalFiles, "list_regular", compacted_just_after_listing)
    assert found.measurements.collect()["value"].to_list() == [0.25, 0.25]
    assert len(calls) == 2


COMPACTING = """
import sys
from equistudy.results.compaction import compact
from equistudy.results.schema import CurveRow, TrialRow
from equistudy.results.store import Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
for index in range(80):
    store.write_curves(f"t_{index}", 0, [CurveRow(epoch, "train", "loss", 0.5) for epoch in range(2)])
    store.write_trial(TrialRow(f"t_{index}", 0, "study", "done", 0, "{}", "{}"))
    if index % 5 == 0:
        compact(store)
"""


@pytest.mark.slow
def test_reading_while_another_process_writes_and_compacts(store):
    """No trial is ever missing that was there before, and each has exactly its two rows."""
    process = subprocess.Popen([sys.executable, "-c", COMPACTING, store.url], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    before, reads = set(), 0
    while process.poll() is None:
        found = results(store.url)
        trials = set(found.trials.collect()["trial"])
        curves = found.curves.group_by("trial").len().collect()
        assert before <= trials
        assert set(curves["trial"]) == trials
        assert set(curves["len"]) <= {2}
        before, reads = trials, reads + 1
    assert process.returncode == 0
    assert reads
    assert len(results(store.url).list_finished()) == 80


def test_the_package_itself_reads_results(store, whole_trial):
    whole_trial(store, "t_1")
    assert eq.results(store.url).trials.collect().height == 1
