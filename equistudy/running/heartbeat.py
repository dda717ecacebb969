"""Where a running trial is, as `status` reads it in other shells."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from equistudy.results.store import StorageError, Store

__all__ = ["Heartbeat"]

WRITE_SECONDS = 2.0  # how often news is written
RENEW_SECONDS = 20.0  # how often old news is: an epoch may take hours, and silence is taken for death


class Heartbeat:
    """A small file in `running/` of the results, which says where a trial is, by which process, and when it said so.

    A thread writes all but the first: training does not wait for a store. While nothing new is told it renews the
    time, until `stop` or until the process dies.
    """

    def __init__(self, store: Store, trial: str) -> None:
        self._store, self._name = store.with_patience(0), f"running/{trial}.json"
        self._latest: Mapping[str, Any] = {}
        self._told_at: float | None = None
        self._ended, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def update(self, news: Mapping[str, Any]) -> None:
        """Has the news written, unless the last are younger than two seconds."""
        if self._ended.is_set() or (self._told_at and time.perf_counter() < self._told_at + WRITE_SECONDS):
            return
        self._latest, self._told_at = news, time.perf_counter()
        if self._thread.is_alive():
            self._woken.set()
            return
        self._write()
        self._thread.start()

    def stop(self) -> None:
        """Takes the sign back."""
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
        with contextlib.suppress(StorageError):  # the trial's own writes tell what is wrong
            self._store.write_bytes(self._name, json.dumps({**self._latest, **where}).encode())

    def _renew(self) -> None:
        while True:
            self._woken.wait(RENEW_SECONDS)
            self._woken.clear()
            if self._ended.is_set():
                return
            self._write()
