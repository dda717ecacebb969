"""What the results of a study under way tell: which trials train where, and which have recovered."""

import time
from collections.abc import Callable
from typing import Any

import psutil

from equistudy.results.store import Store
from equistudy.running.heartbeat import load_heartbeats

__all__ = ["Recovery", "Sign", "Witness"]

Sign = dict[str, Any]
Recovery = Callable[[], str | None]  # what has recovered from a fault, once it has


class Witness:
    """Reads the signs of life and the rows of a study. Compares no clocks: that of a process may be wrong."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.finished: dict[str, float] = {}
        self.shared: set[str] = set()  # trials that two runs trained at once: both may write their row
        self._foreign: dict[str, float] = {}
        self._signs: list[Sign] = []

    def look(self) -> None:
        """Reads what there is now: where the trials are, which have their row, and since when."""
        self._signs = load_heartbeats(self.store)
        for name in self.store.list_names("trials"):
            if name.endswith(".parquet") and name not in self.finished and not self._is_foreign(name):
                self.finished[name] = self.modified(name)

    def ignore(self, name: str, data: bytes) -> None:
        """Writes a file among the rows that is none, whatever its name says."""
        self.store.files.write(f"trials/{name}", data)
        self._foreign[name] = self.modified(name)

    def _is_foreign(self, name: str) -> bool:
        return name in self._foreign and self.modified(name) == self._foreign[name]

    def is_shared(self, name: str) -> bool:
        return name.partition(".")[0] in self.shared

    def uncompacted(self) -> list[str]:
        """The rows that are files of their own."""
        return [name for name in self.store.list_names("trials") if name in self.finished]

    def modified(self, name: str) -> float:
        return self.store.files.modified_at(f"trials/{name}")

    def signs(self) -> list[Sign]:
        """Where the trials are whose processes live."""
        return [sign for sign in self._signs if psutil.pid_exists(sign["pid"])]

    def has_row(self, trial: str) -> bool:
        return any(name.startswith(trial) for name in self.finished)

    def checkpoint(self, trial: str) -> bytes | None:
        return self.store.read_bytes(f"checkpoints/{trial}.0.pt")

    # what recovers

    def goes_on(self, sign: Sign, elsewhere: bool = False) -> Recovery:
        """The trial of the sign has given another one, `elsewhere` in another process, or has its row."""

        def recovered() -> str | None:
            if self.has_row(sign["trial"]):
                return "the trial has its row"
            for new in self.signs():
                told = new["trial"] == sign["trial"] and new["time"] != sign["time"]
                if told and (not elsewhere or new["pid"] != sign["pid"]):
                    return f"the trial is at epoch {new['epoch']} in process {new['pid']}"
            return None

        return recovered

    def all_go_on(self, signs: list[Sign], elsewhere: bool) -> Recovery:
        """All trials of the signs go on; where there are none, any trial is seen again."""
        before = {sign["trial"]: sign["time"] for sign in self.signs()}
        each = [self.goes_on(sign, elsewhere) for sign in signs]

        def recovered() -> str | None:
            if not each:
                seen = any(before.get(new["trial"]) != new["time"] for new in self.signs())
                return "no trial was there, the others train" if seen else None
            told = [recovery() for recovery in each]
            return None if None in told else "; ".join(str(line) for line in told)

        return recovered

    def others_train(self, drivers: Callable[[], int]) -> Recovery:
        """Another driver trains, in processes of its own."""
        before, then = {sign["pid"] for sign in self.signs()}, drivers()

        def recovered() -> str | None:
            new = [sign for sign in self.signs() if sign["pid"] not in before]
            return f"driver {drivers()} trains {len(new)} trials" if drivers() > then and new else None

        return recovered

    def ticks_on(self, sign: Sign, which: str, hour: float = 3600.0) -> Recovery:
        """The trial of the sign ends another epoch, by the clock of a process that is late or early by an hour."""
        goes_on = self.goes_on(sign, elsewhere=True)

        def recovered() -> str | None:
            for new in self.signs():
                same = new["pid"] == sign["pid"] and new["trial"] == sign["trial"]
                if same and new["epoch"] > sign["epoch"] and abs(time.time() - new["time"]) > hour / 2:
                    return f"the trial is at epoch {new['epoch']} by a clock that is an hour {which}"
            return goes_on()

        return recovered

    def is_ended(self, sign: Sign, again: Callable[[], Sign | None]) -> Recovery:
        """The process that hangs is ended and its stacks are kept, and the trial goes on.

        Where something else has ended it before, `again` asks another for it.
        """
        hung = sign

        def recovered() -> str | None:
            nonlocal hung
            if psutil.pid_exists(hung["pid"]) and not self.has_row(hung["trial"]):
                return None
            stacks = self.store.read_bytes(f"hangs/{hung['trial']}.0.txt") or b""
            if f"in process {hung['pid']}\n".encode() not in stacks or b"in apply" not in stacks:
                hung = again() or hung
                return None
            goes_on = self.goes_on(hung, elsewhere=True)()
            return goes_on and f"process {hung['pid']} was ended, its stacks are kept; {goes_on}"

        return recovered
