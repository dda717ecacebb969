"""Stops a run whose first trials all fail in the same way, or cannot begin: the others would say as little."""

from equistudy.running.job import Phase, Progress
from equistudy.training.failures import Reason

__all__ = ["SAME", "STARTS", "Breaker"]

STARTS = 3  # processes that could not begin, before any trial trains
SAME = 5  # failures, equal and without one success between them
# what a mistake in the study, the code or the installation does to every trial; training may well diverge in some cells
SHARED = {Reason.BUG.value, Reason.DATA.value, Reason.TIME.value}


class Breaker:
    """Looks at the ends of the trials of one run; `broken` says why the rest should not start. 0 never breaks."""

    def __init__(self, limit: int = SAME) -> None:
        self._limit = limit
        self._failures: list[str] = []
        self._unstarted = 0
        self._closed = limit > 0
        self.broken: str | None = None

    def see(self, progress: Progress) -> None:
        """A trial has given a sign of life."""
        if not self._closed:
            return
        if not progress.final:
            self._see_start(progress)
            return
        if progress.phase != Phase.FAILED or progress.reason not in SHARED:
            self._closed = False  # something works, or fails in its own way
            return
        self._failures.append(_kind(progress))
        if len(set(self._failures)) > 1:
            self._closed = False
        elif len(self._failures) == self._limit:
            self._closed = False
            self.broken = (
                f"The first {self._limit} trials failed in the same way, so no other was started: "
                f"{_first_line(progress).rstrip('.')}. Mend it, or use --keep-going."
            )

    def _see_start(self, progress: Progress) -> None:
        """A process that dies for a reason of its own has never begun; one that trains shows that they can."""
        if self._unstarted < 0:
            return
        if progress.phase == Phase.TRAINING:
            self._unstarted = -1
        elif progress.phase == Phase.DIED and progress.reason is not None:
            self._unstarted += 1
            if self._unstarted == STARTS:
                self._closed = False
                self.broken = (
                    f"No trial could begin: {_first_line(progress).rstrip('.')}. Mend it where the trials run, then "
                    "run the same command again."
                )


def _first_line(progress: Progress) -> str:
    return (progress.message or "").strip().partition("\n")[0]


def _kind(progress: Progress) -> str:
    """Which mistake it is: its reason and its message, in which numbers may differ from trial to trial."""
    return f"{progress.reason}: {''.join('#' if letter.isdigit() else letter for letter in _first_line(progress))}"
