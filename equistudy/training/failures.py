"""The ways in which training fails, each with a name."""

from enum import Enum

__all__ = [
    "DataError",
    "DivergedError",
    "FailureReason",
    "HungError",
    "NotANumberError",
    "StartError",
    "classify_error",
    "describe_error",
]


class FailureReason(Enum):
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


REASONS_BY_ERROR = {
    NotANumberError: FailureReason.NOT_A_NUMBER,
    DivergedError: FailureReason.DIVERGED,
    HungError: FailureReason.TIME,
    StartError: FailureReason.WORKER_DIED,
    DataError: FailureReason.DATA,
}


def describe_error(error: BaseException) -> str:
    """The error as one reads it: in its own words if they were written for the user, else with its type in front."""
    named = isinstance(error, (ValueError, TypeError, OSError, ArithmeticError))
    message = _read_message(error)
    return message if named and message else f"{type(error).__name__}: {message}"


def _read_message(error: BaseException) -> str:
    """The error's message as text that UTF-8 can encode: the code of the error, and file names in it, are anybody's."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception:
        return "its message cannot be read"


def classify_error(error: BaseException) -> FailureReason:
    """The reason that an exception stands for; what nothing else explains is a bug."""
    for kind, reason in REASONS_BY_ERROR.items():
        if isinstance(error, kind):
            return reason
    # torch.OutOfMemoryError (CUDA) and the CPU allocator's RuntimeError are told apart by name and text, without torch
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate" in _read_message(error)
    ):
        return FailureReason.OUT_OF_MEMORY
    if type(error).__module__.partition(".")[0] == "ray":
        return FailureReason.WORKER_DIED
    if isinstance(error, OSError):
        return FailureReason.DATA
    return FailureReason.BUG
