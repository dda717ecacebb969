"""Stops a run whose trials cannot start, cannot be written, or fail at first all in the same way."""

from equistudy.running.job import UNWRITTEN_REASON, TrialPhase, TrialProgress
from equistudy.training.failures import FailureReason

__all__ = ["MAX_FAILED_STARTS", "MAX_IDENTICAL_FAILURES", "CircuitBreaker"]

MAX_FAILED_STARTS = 3  # processes that could not begin, before any trial trains
MAX_IDENTICAL_FAILURES = 5  # failures, equal and without one success between them
# what a mistake in the study, the code or the installation does to every trial; training may well diverge in some cells
SHARED_REASONS = {FailureReason.BUG.value, FailureReason.DATA.value, FailureReason.TIME.value}


class CircuitBreaker:
    """Watches how the trials of one run end; `broken` says why the rest should not start. A limit of 0 never breaks."""

    def __init__(self, limit: int = MAX_IDENTICAL_FAILURES) -> None:
        self._limit = limit
        self._failures: list[str] = []
        self._unstarted = 0
        self._closed = limit > 0  # until something works, or fails in its own way
        self.broken: str | None = None

    def record(self, progress: TrialProgress) -> None:
        """Takes in the progress of a trial."""
        if progress.reason == UNWRITTEN_REASON:
            self._record_unwritten(progress)
            return
        if not self._closed:
            return
        if not progress.is_final:
            self._record_start(progress)
            return
        if progress.phase != TrialPhase.FAILED or progress.reason not in SHARED_REASONS:
            self._closed = False  # something works, or fails in its own way
            return
        self._failures.append(_describe_failure_kind(progress))
        if len(set(self._failures)) > 1:
            self._closed = False
        elif len(self._failures) == self._limit:
            self._closed = False
            self.broken = (
                f"The first {self._limit} trials failed in the same way, so no other was started: "
                f"{_get_first_line(progress).rstrip('.')}. Fix the cause, or use --keep-going."
            )

    def _record_unwritten(self, progress: TrialProgress) -> None:
        """A trial whose numbers have nowhere to go: those of all others would be lost as well, also later in a run."""
        if self._limit > 0 and self.broken is None:
            self._closed = False
            self.broken = f"The run stops because its results cannot be written: {_get_first_line(progress)}"

    def _record_start(self, progress: TrialProgress) -> None:
        """A process that dies for a reason of its own has never begun; one that trains shows that they can."""
        if self._unstarted < 0:
            return
        if progress.phase == TrialPhase.TRAINING:
            self._unstarted = -1
        elif progress.phase == TrialPhase.DIED and progress.reason is not None:
            self._unstarted += 1
            if self._unstarted == MAX_FAILED_STARTS:
                self._closed = False
                self.broken = (
                    f"No trial could begin: {_get_first_line(progress).rstrip('.')}. Fix it where the trials "
                    "run, then run the same command again."
                )


def _get_first_line(progress: TrialProgress) -> str:
    return (progress.message or "").strip().partition("\n")[0]


def _describe_failure_kind(progress: TrialProgress) -> str:
    """Which mistake it is: its reason and its message, in which numbers may differ from trial to trial."""
    return f"{progress.reason}: {''.join('#' if letter.isdigit() else letter for letter in _get_first_line(progress))}"
