"""What is read bit by bit is what a fresh reader sees, whatever was written, compacted or deleted in between."""

import os
import random
import time
from pathlib import Path

import pytest

from equistudy.results.compaction import compact
from equistudy.results.growing import GrowingResults
from equistudy.results.reader import Results
from equistudy.results.schema import TRIALS, TrialStatus
from equistudy.results.store import Store


def read_afresh(store):
    """The oracle: rows in an order of their own, those of done trials alone where other ones may change."""
    found = Results.open(store.url)
    done = found.attempts.filter(status=TrialStatus.DONE).select("trial", "attempt").lazy()
    return describe(found, done)


def describe(found, done):
    rows = [
        frame.join(done, on=["trial", "attempt"], how="semi").collect() for frame in (found.curves, found.measurements)
    ]
    return {
        "attempts": found.attempts.rows(),
        "trials": sorted(found.trials.collect().rows(), key=repr),
        "rows": [sorted(frame.rows(), key=repr) for frame in rows],
        "measured": found.list_measured(),
        "finished": found.list_finished(),
    }


def read_growing(growing):
    found = growing.read_rows(growing.read_trials())
    done = found.attempts.filter(status=TrialStatus.DONE).select("trial", "attempt").lazy()
    curves, measurements = found.curves.collect(), found.measurements.collect()
    known = done.collect().rows()
    assert set(curves.select("trial", "attempt").rows()) <= set(known)
    assert set(measurements.select("trial", "attempt").rows()) <= set(known)
    return describe(found, done)


def change(store, whole_trial, measurement, rng, attempts):
    """One of the things that happen to results."""
    kind = rng.choice(["done", "failed", "retry", "measure", "compact", "delete", "curves"])
    trial = f"t_{rng.randrange(12)}"
    writer = rng.choice([None, "w1", "w2"])  # None: an equistudy that wrote schema 1
    if kind in ("done", "failed") and trial not in attempts:
        factors = {"width": rng.choice([2, 4])}
        whole_trial(store, trial, value=rng.random(), status=kind, factors=factors, writer=writer)
        attempts[trial] = [kind]
    elif kind == "retry" and attempts.get(trial, ["done"])[-1] == "failed":
        attempts[trial].append(rng.choice(["done", "failed"]))
        attempt, status = len(attempts[trial]) - 1, attempts[trial][-1]
        whole_trial(store, trial, attempt, value=rng.random(), status=status, writer=writer)
    elif kind == "measure" and attempts.get(trial, ["failed"])[-1] == "done":
        attempt = len(attempts[trial]) - 1
        if not store.has_measurements(trial, attempt, "m_2", writer):  # a writer measures a done trial once
            store.write_measurements(trial, attempt, "m_2", [measurement("m_2", rng.random())], writer=writer)
    elif kind == "compact":
        compact(store)
    elif kind == "delete" and attempts.get(trial, ["done"])[-1] == "failed":
        Path(store.url, "trials", f"{trial}.{len(attempts[trial]) - 1}.failed.parquet").unlink()
        attempts[trial].pop()
        if not attempts[trial]:
            del attempts[trial]
    elif kind == "curves" and trial not in attempts:  # of a trial that has no row yet
        store.write_measurements(trial, 0, "m_1", [measurement("m_1", rng.random())], writer=writer)


@pytest.mark.parametrize("seed", range(3))
def test_growing_results_are_those_of_a_fresh_reader(store, whole_trial, measurement, monkeypatch, seed):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # this machine does not crash
    rng, growing, attempts = random.Random(seed), GrowingResults(store), {}
    for _ in range(30):
        change(store, whole_trial, measurement, rng, attempts)
        if rng.random() < 0.2:
            assert read_growing(growing) == read_afresh(store)
    assert read_growing(growing) == read_afresh(store)
    assert attempts


def test_a_file_is_read_once(store, whole_trial, monkeypatch):
    growing, loaded = GrowingResults(store), []
    for table in store.inventories.values():
        load = table.load
        monkeypatch.setitem(vars(table), "load", lambda name, load=load: loaded.append(name) or load(name))
    for number in range(4):
        whole_trial(store, f"t_{number}")
        growing.read_rows(growing.read_trials())
    assert len(loaded) == len(set(loaded)) == 12


def test_equal_looks_are_the_same(store, whole_trial, measurement):
    growing = GrowingResults(store)
    whole_trial(store, "t_1")
    first = growing.read_trials()
    assert growing.read_trials().is_same_as(first)
    store.write_measurements("t_1", 0, "m_2", [measurement("m_2")])
    second = growing.read_trials()
    assert not second.is_same_as(first)
    whole_trial(store, "t_2")
    assert not growing.read_trials().is_same_as(second)


def test_a_settled_folder_is_not_listed_again(store, whole_trial, monkeypatch):
    growing, listed = GrowingResults(store), []
    whole_trial(store, "t_1")
    old = time.time() - 60
    os.utime(Path(store.url, "trials"), (old, old))
    inventory = store.inventories[TRIALS.name]
    list_files = inventory.list_files
    monkeypatch.setitem(vars(inventory), "list_files", lambda: listed.append(1) or list_files())
    for _ in range(3):
        assert growing.read_trials().attempts.height == 1
    assert len(listed) == 1
    whole_trial(store, "t_2")
    assert growing.read_trials().attempts.height == 2


@pytest.mark.parametrize("writer", [None, "w1"])
def test_names_tell_statuses_before_anything_is_read(store, whole_trial, writer):
    whole_trial(store, "t_1", writer=writer)
    whole_trial(store, "t_2", status="failed", writer=writer)
    whole_trial(store, "t_3", writer=writer)
    compact(store)
    whole_trial(store, "t_4", writer=writer)
    growing = GrowingResults(store)
    assert growing.count_unread_trials() == 2
    peeked = growing.peek()
    statuses = {row["trial"]: row["status"] for row in peeked.list_finished()}
    assert statuses == {"t_1": "done", "t_2": "failed", "t_3": "done", "t_4": "done"} == store.list_statuses()
    assert peeked.list_measured() == growing.read_trials().list_measured()


def test_a_damaged_file_is_named_and_the_rest_kept(store, whole_trial):
    growing = GrowingResults(store)
    whole_trial(store, "t_1")
    growing.read_trials()
    path = Path(store.url, "trials", "t_2.0.parquet")
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(ValueError, match=r"trials/t_2\.0\.parquet"):
        growing.read_trials()
    path.unlink()
    assert growing.read_trials().attempts.height == 1


def test_no_results_yet(store):
    growing = GrowingResults(Store.open(store.url))
    assert growing.peek().list_finished() == growing.read_trials().list_finished() == []
    assert growing.read_rows(growing.read_trials()).curves.collect().height == 0
