"""How a command ends and what it prints: exit codes, errors in a line instead of a traceback, and harmless text."""

import linecache
import traceback
import unicodedata
from enum import IntEnum

__all__ = ["ExitCode", "escape_controls", "get_user_message"]

PACKAGE = __name__.partition(".")[0]


class ExitCode(IntEnum):
    """The exit codes, as the help documents them."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    FAILED_TRIALS = 3
    CLUSTER_LOST = 4  # see equistudy.execution.head_watchdog
    INTERRUPTED = 130


def get_user_message(error: Exception) -> str | None:
    """What the user is to read, or None for a bug, whose traceback is to be seen.

    Users' errors are ValueError, TypeError and OSError from a `raise` of our own, and whatever the file system
    refuses. The same kinds of errors from Python or a library, such as `int("x")`, are bugs.
    """
    if isinstance(error, (ValueError, TypeError, OSError)) and _is_raised_by_us(error):
        return str(error)
    network = isinstance(error, (ConnectionError, TimeoutError))
    if isinstance(error, OSError) and error.errno is not None and not network:
        place = f" for {error.filename}" if error.filename else ""
        return (
            f"Cannot read or write files: {error.strerror}{place}. Free some space, change "
            "the permissions, or choose another folder with --results."
        )
    return None


def _is_raised_by_us(error: Exception) -> bool:
    """Whether the innermost frame is one of this package's, at a `raise` statement."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return False
    frame, line = frames[-1]
    ours = frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE
    return ours and linecache.getline(frame.f_code.co_filename, line).lstrip().startswith("raise ")


CONTROL_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # escape sequences, reversed writing, lone surrogates, line breaks


def escape_controls(text: str) -> str:
    """The text with every character that a terminal acts on written as an escape, except newlines and tabs."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter
        if letter in "\n\t" or unicodedata.category(letter) not in CONTROL_CATEGORIES
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
