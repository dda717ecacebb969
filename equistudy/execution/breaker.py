"""Stops a run whose first trials all fail in the same way: the others would cost as much and say as little."""

from equistudy.execution.job import Phase, Progress
from equistudy.training.failures import Reason

__all__ = ["SAME", "Breaker"]

SAME = 5  # failures, equal and without one success between them
# what a mistake in the study, the code or the installation does to every trial; training may well diverge in some cells
SHARED = {Reason.BUG.value, Reason.DATA.value, Reason.TIME.value}


class Breaker:
    """Looks at the ends of the trials of one run; `broken` says why the rest should not start. 0 never breaks."""

    def __init__(self, limit: int = SAME) -> None:
        self._limit = limit
        self._failures: list[str] = []
        self._closed = limit > 0
        self.broken: str | None = None

    def see(self, progress: Progress) -> None:
        """A trial has given a sign of life."""
        if not (self._closed and progress.final):
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
                f"{(progress.message or '').strip().partition(chr(10))[0].rstrip('.')}. Mend it, or use --keep-going."
            )


def _kind(progress: Progress) -> str:
    """Which mistake it is: its reason and its message, in which numbers may differ from trial to trial."""
    message = (progress.message or "").strip().partition("\n")[0]
    return f"{progress.reason}: {''.join('#' if letter.isdigit() else letter for letter in message)}"
