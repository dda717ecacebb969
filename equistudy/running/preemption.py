"""What a process does on SIGTERM: it saves what its trial has learned, records the preemption, and exits."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from equistudy.results.store import StorageError, Store

__all__ = ["PreemptionAllowance", "PreemptionNotice", "consume_preemption"]

# Kubernetes gives 30 s between SIGTERM and SIGKILL, spot machines 30 s (Google) to 2 min (AWS).
GRACE_SECONDS = 25.0
SIGTERM_EXIT_CODE = 143  # the exit code of a process that was ended by SIGTERM
# Without a single new epoch, beyond either of which preemptions count as failures: something else ends the trial.
MAX_PREEMPTIONS = 30
MAX_PREEMPTED_SECONDS = 24 * 3600.0


class PreemptionNotice:
    """Listens for SIGTERM in the main thread of a process that trains one trial after the other.

    A process whose `trial` is None exits at once and records nothing: Tune ends the process of a trial that has failed
    with the same signal as a node that shuts down, so whoever sees a trial end, in whichever way, must set it to None.
    With a trial the process has `GRACE_SECONDS` to reach the end of an epoch, to save, and to `exit_process`; an epoch
    that takes longer is lost. Either way the results record that the trial was preempted.
    """

    def __init__(self, store: Store) -> None:
        self.trial: str | None = None
        self.given = False
        self._noted = threading.Event()
        self._store = store.with_patience(0)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handle_signal)

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        if self.trial is None:
            self.exit_process()
        if not self.given:
            self.given = True
            # a signal may come in the middle of a write: what is to be written now is written beside it
            threading.Thread(target=self._record_and_exit, args=(self.trial,), daemon=True).start()

    def _record_and_exit(self, trial: str) -> None:
        with contextlib.suppress(StorageError):  # else it counts as a death, of which a trial survives several
            self._store.write_bytes(_marker_path(trial), str(time.time()).encode())
        self._noted.set()
        time.sleep(GRACE_SECONDS)
        os._exit(SIGTERM_EXIT_CODE)

    def exit_process(self) -> None:
        """Ends this process."""
        if self.given:
            self._noted.wait(GRACE_SECONDS)
        os._exit(SIGTERM_EXIT_CODE)


def _marker_path(trial: str) -> str:
    return f"preempted/{trial}"


def consume_preemption(store: Store, trial: str) -> bool:
    """Whether the last process of this trial was preempted; reading the record deletes it."""
    if store.read_bytes(_marker_path(trial)) is None:
        return False
    store.delete(_marker_path(trial))
    return True


class PreemptionAllowance:
    """How many preemptions of each trial do not count as failures: a bound for a trial that never finishes an epoch."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, int] = {}
        self._since: dict[str, float] = {}

    def spend(self, trial: str) -> bool:
        """Whether one more preemption of the trial, without a new epoch since the last, is allowed."""
        self._spent[trial] = self._spent.get(trial, 0) + 1
        since = self._since.setdefault(trial, self._clock())
        return self._spent[trial] <= MAX_PREEMPTIONS and self._clock() - since <= MAX_PREEMPTED_SECONDS

    def renew(self, trial: str) -> None:
        """A new epoch of the trial starts its count again."""
        self._spent.pop(trial, None)
        self._since.pop(trial, None)
