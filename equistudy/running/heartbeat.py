"""Where a running trial is: written by its process, read by `status` in other shells."""

import contextlib
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equistudy.results.files import LostResultsError
from equistudy.results.inventory import ForeignFileWarning
from equistudy.results.store import StorageError, Store

__all__ = ["Heartbeat", "is_alive", "load_heartbeats"]

WRITE_SECONDS = 2.0  # how often news is written
RENEW_SECONDS = 20.0  # how often old news is renewed: an epoch may take hours, and a silent process counts as dead
TIMEOUT_SECONDS = 60.0  # a running trial without a heartbeat for this long counts as dead
HEARTBEAT_FIELDS = {"trial": (str,), "phase": (str,), "host": (str,), "pid": (int,), "time": (int, float)}


class Heartbeat:
    """A small file in `running/` of the results, which says where a trial is, by which process, and when it said so.

    A thread writes all but the first, so that training does not wait for the storage. Without news it renews the time,
    until `stop` or until the process dies.
    """

    def __init__(self, store: Store, trial: str) -> None:
        self._store, self._name = store.with_patience(0), f"running/{trial}.json"
        self._latest: Mapping[str, Any] = {}
        self._told_at: float | None = None
        self._lost: LostResultsError | None = None
        self._ended, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def update(self, news: Mapping[str, Any]) -> None:
        """Writes the news, unless the last are younger than two seconds."""
        if self._ended.is_set() or (self._told_at and time.perf_counter() < self._told_at + WRITE_SECONDS):
            return
        self._latest, self._told_at = news, time.perf_counter()
        if self._thread.is_alive():
            self._woken.set()
            return
        self._write()
        self._thread.start()

    def check(self) -> None:
        """Raises LostResultsError if the last heartbeat found the results gone."""
        if self._lost is not None:
            raise self._lost

    def stop(self) -> None:
        """Deletes the file."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()
            with contextlib.suppress(StorageError):  # it grows old by itself
                self._store.delete(self._name)

    def _write(self) -> None:
        where = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
        try:
            self._store.write_bytes(self._name, json.dumps({**self._latest, **where}).encode())
            self._lost = None
        except LostResultsError as error:
            self._lost = error
        except StorageError:
            return  # the trial's own writes tell what is wrong

    def _renew(self) -> None:
        while True:
            self._woken.wait(RENEW_SECONDS)
            self._woken.clear()
            if self._ended.is_set():
                return
            self._write()


def is_alive(beat: Mapping[str, Any]) -> bool:
    """Whether the process that wrote a heartbeat still runs, as far as can be told from this machine."""
    here = beat.get("host") == socket.gethostname() and Path("/proc/self").exists()
    if here and not Path(f"/proc/{beat['pid']}").exists():
        return False
    return time.time() - float(beat["time"]) < TIMEOUT_SECONDS


def load_heartbeats(store: Store) -> list[dict[str, Any]]:
    """The latest heartbeat of each trial, whether its process still lives or not.

    Ignores, with a warning, what is no heartbeat; one that vanishes meanwhile is that of a trial that has just ended.
    """
    found = []
    for name in store.list_names("running"):
        path = f"running/{name}"
        if not name.endswith(".json"):
            continue
        try:
            content = store.read_bytes(path)
            if content:
                found.append(_parse_heartbeat(content))
        except (StorageError, ValueError, TypeError, LookupError) as error:
            why = str(error).partition("\n")[0].rstrip(".")
            text = f"Ignored {path} in {store.url}, which is not the heartbeat of a trial: {why}. Delete it."
            warnings.warn(ForeignFileWarning(text, path), stacklevel=2)
    return found


def _parse_heartbeat(content: bytes) -> dict[str, Any]:
    """Raises ValueError, TypeError or LookupError for what no `Heartbeat` wrote."""
    beat = dict(json.loads(content))
    for name, kinds in HEARTBEAT_FIELDS.items():
        if not isinstance(beat[name], kinds):
            raise ValueError(f"{name}={beat[name]!r}")
    return beat
