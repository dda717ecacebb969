"""Ends a process whose trial does not move any more, and says where it stood."""

import faulthandler
import math
import os
import tempfile
import threading
import time

from equistudy.results.store import StorageError, Store

__all__ = ["HUNG_EXIT_CODE", "Watchdog", "load_stacks"]

HUNG_EXIT_CODE = 75  # the exit code of a process that hung
CHECK_SECONDS = 5.0  # how often it looks, at the least
# The watching thread needs Python's lock. Where a library hangs with the lock held, a timer below Python ends the
# process after this multiple of the patience; its stacks go to the log of the process.
BACKSTOP_FACTOR = 2.0


class Watchdog:
    """Watches one trial in this process, until `stop`.

    Where `mark_alive` has not been called for `patience` seconds, the stacks of all threads are written to `hangs/` of
    the results and the process ends: a hanging call cannot be stopped in any other way. Another process goes on from
    the last checkpoint.
    """

    def __init__(self, store: Store, name: str, patience: float) -> None:
        self._store, self._name, self._patience = store, name, patience
        self._last = math.inf
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def mark_alive(self) -> None:
        """The trial moves. Without end of the patience nobody watches: a debugger may halt the process for hours."""
        if math.isinf(self._patience):
            return
        self._last = time.monotonic()
        if not (self._thread.is_alive() or self._ended.is_set()):
            self._thread.start()

    def suspend(self) -> None:
        """The trial waits for whoever drives it, and needs not move until `mark_alive` is called again."""
        self._last = math.inf

    def stop(self) -> None:
        """Nobody is watched any more."""
        if self._ended.is_set():
            return
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while not self._ended.wait(min(CHECK_SECONDS, self._patience / 4)):
            if time.monotonic() - self._last > self._patience:
                self._dump_and_exit()
            faulthandler.dump_traceback_later(BACKSTOP_FACTOR * self._patience + CHECK_SECONDS, exit=True)

    def _dump_and_exit(self) -> None:
        """The stacks, then the end."""
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            told = f"no step ended for {self._patience:g} s in process {os.getpid()}\n".encode() + file.read()
        try:
            self._store.write_bytes(_stacks_path(self._name), told)
        except StorageError:
            faulthandler.dump_traceback(all_threads=True)  # into the process's own log
        os._exit(HUNG_EXIT_CODE)


def _stacks_path(name: str) -> str:
    return f"hangs/{name}.txt"


def load_stacks(store: Store, name: str) -> str | None:
    """What a process that hung has left: for how long, and the stacks of its threads."""
    found = store.read_bytes(_stacks_path(name))
    return None if found is None else found.decode(errors="replace")
