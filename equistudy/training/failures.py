"""The ways in which training fails, each with a name."""

from enum import Enum

__all__ = ["DataError", "DivergedError", "HungError", "NotANumberError", "Reason", "StartError", "reason_of", "told"]


class Reason(Enum):
    """Why a trial has no network."""

    NOT_A_NUMBER = "not a number"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out of memory"
    DATA = "data"
    BUG = "bug"
    WORKER_DIED = "worker died"
    TIME = "time"
    STOPPED = "stopped early"


class NotANumberError(ArithmeticError):
    """The loss is infinite or not a number."""


class DataError(ValueError):
    """The examples are not such as a network could learn from."""


class HungError(RuntimeError):
    """A trial has not moved for too long, in one process after the other."""


class StartError(RuntimeError):
    """A process for trials does not begin: what it must import is missing or broken where it runs."""


class DivergedError(ArithmeticError):
    """The loss is finite, and far above where it began."""


OURS = {
    NotANumberError: Reason.NOT_A_NUMBER,
    DivergedError: Reason.DIVERGED,
    HungError: Reason.TIME,
    StartError: Reason.WORKER_DIED,
    DataError: Reason.DATA,
}


def told(error: BaseException) -> str:
    """The error as one reads it: in its own words if they were written for the user, else with its type in front."""
    named = isinstance(error, (ValueError, TypeError, OSError, ArithmeticError))
    return str(error) if named and str(error) else f"{type(error).__name__}: {error}"


def reason_of(error: BaseException) -> Reason:
    """The reason that an exception stands for; what nothing else explains is a bug."""
    for kind, reason in OURS.items():
        if isinstance(error, kind):
            return reason
    # torch.OutOfMemoryError (CUDA) and the CPU allocator's RuntimeError are told apart by name and text, without torch
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate" in str(error):
        return Reason.OUT_OF_MEMORY
    if type(error).__module__.partition(".")[0] == "ray":
        return Reason.WORKER_DIED
    if isinstance(error, OSError):
        return Reason.DATA
    return Reason.BUG
