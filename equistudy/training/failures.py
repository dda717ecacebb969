"""The reasons for which a trial can fail."""

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
    """The reason why a trial has no network."""

    NOT_A_NUMBER = "not a number"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out of memory"
    DATA = "data"
    BUG = "bug"
    WORKER_DIED = "worker died"
    TIME = "time"
    STOPPED = "stopped early"


class NotANumberError(ArithmeticError):
    """The loss is infinite or NaN."""


class DataError(ValueError):
    """The examples are invalid for training."""


class HungError(RuntimeError):
    """A trial made no progress for too long in several processes."""


class StartError(RuntimeError):
    """A worker process cannot start: something that it imports is missing or broken on its machine."""


class DivergedError(ArithmeticError):
    """The loss is finite but far above its initial value."""


REASONS_BY_ERROR = {
    NotANumberError: FailureReason.NOT_A_NUMBER,
    DivergedError: FailureReason.DIVERGED,
    HungError: FailureReason.TIME,
    StartError: FailureReason.WORKER_DIED,
    DataError: FailureReason.DATA,
}


def describe_error(error: BaseException) -> str:
    """The message of an error, preceded by its type unless it was written for users."""
    named = isinstance(error, (ValueError, TypeError, OSError, ArithmeticError))
    message = _read_message(error)
    return message if named and message else f"{type(error).__name__}: {message}"


def _read_message(error: BaseException) -> str:
    """The message of an error as valid UTF-8, whatever the error's own code or the file names in it contain."""
    try:
        return str(error).encode("utf-8", "backslashreplace").decode()
    except Exception:
        return "(its message cannot be read)"


def classify_error(error: BaseException) -> FailureReason:
    """The reason for an exception; anything unexplained is a bug."""
    for kind, reason in REASONS_BY_ERROR.items():
        if isinstance(error, kind):
            return reason
    # torch.OutOfMemoryError (CUDA) and the CPU allocator's RuntimeError are recognised without importing torch.
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
