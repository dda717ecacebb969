import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from equistudy.results.files import LostResultsError
from equistudy.results.inventory import ForeignFileWarning
from equistudy.results.store import StorageError, Store
from equistudy.running import heartbeat as sign_of_life
from equistudy.running.heartbeat import Heartbeat, load_heartbeats


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "results")


def read(store: Store) -> dict[str, object]:
    return json.loads(store.read_bytes("running/t_1.json") or b"null")


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_first_news_are_written_at_once_and_the_next_not_before_they_are_due(store: Store) -> None:
    sign = Heartbeat(store, "t_1")
    sign.update({"epoch": 1})
    sign.update({"epoch": 2})
    told = read(store)
    assert (told["epoch"], told["host"], told["pid"]) == (1, socket.gethostname(), os.getpid())
    sign.stop()


def test_news_that_are_due_are_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_of_life, "WRITE_SECONDS", 0)
    sign = Heartbeat(store, "t_1")
    sign.update({"epoch": 1})
    sign.update({"epoch": 2})
    until(lambda: read(store)["epoch"] == 2)
    sign.stop()


def test_the_time_is_renewed_while_nothing_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_of_life, "RENEW_SECONDS", 0.01)
    sign = Heartbeat(store, "t_1")
    sign.update({"epoch": 1})
    first = read(store)
    until(lambda: read(store)["time"] > first["time"])
    assert {**read(store), "time": 0} == {**first, "time": 0}
    sign.stop()


def test_a_store_that_fails_for_a_while_stops_no_renewing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_of_life, "RENEW_SECONDS", 0.01)
    sign, failed = Heartbeat(store, "t_1"), threading.Event()
    sign.update({"epoch": 1})
    write = store.write_bytes

    def fail(name: str, data: bytes) -> None:
        failed.set()
        raise StorageError("the disk is full")

    object.__setattr__(store, "write_bytes", fail)
    assert failed.wait(30)
    object.__setattr__(store, "write_bytes", write)
    before = read(store)["time"]
    until(lambda: read(store)["time"] > before)
    sign.stop()


def test_the_end_takes_the_sign_back_for_good(store: Store) -> None:
    sign = Heartbeat(store, "t_1")
    sign.stop()
    sign.update({"epoch": 1})
    assert store.list_names("running") == []
    other = Heartbeat(store, "t_1")
    other.update({"epoch": 1})
    assert store.list_names("running") == ["t_1.json"]
    other.stop()
    other.stop()
    assert store.list_names("running") == []
    assert not any(thread.name.endswith("(_renew)") for thread in threading.enumerate())


@pytest.mark.parametrize(
    "content", [b"{", b"[1]", b"3", b"{}", b'{"trial": "t_1"}', b"\xff", b'{"trial": 1, "phase": "x"}', None]
)
def test_what_is_no_heartbeat_is_named_and_ignored(content: bytes | None, tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    whole = {"trial": "t_1", "phase": "training", "host": "here", "pid": 7, "time": 1.5}
    store.write_bytes("running/t_1.json", json.dumps(whole).encode())
    path = tmp_path / "running" / "t_2.json"
    os.mkfifo(path) if content is None else path.write_bytes(content)
    told = r"Ignored running/t_2.json in .*, which is not the heartbeat .* Delete it\."
    with pytest.warns(ForeignFileWarning, match=told):
        assert load_heartbeats(store) == [whole]


def test_a_heartbeat_that_vanishes_while_it_is_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "list_names", lambda self, folder: ["t_1.json", "abc.reach"])
    assert load_heartbeats(Store.open(tmp_path)) == []


def test_lost_results_are_noticed_by_the_next_heartbeat(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_of_life, "RENEW_SECONDS", 0.01)
    sign = Heartbeat(store, "t_1")
    sign.update({"epoch": 1})
    sign.check()
    marker = Path(store.url, "equistudy.json")
    content = marker.read_bytes()
    marker.unlink()
    until(lambda: sign._lost is not None)
    with pytest.raises(LostResultsError, match=r"must keep their equistudy\.json during a run.*Restore the file"):
        sign.check()
    marker.write_bytes(content)  # in time: the trial goes on
    until(lambda: sign._lost is None)
    sign.check()
    sign.stop()
