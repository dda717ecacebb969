"""An environment that other threads can read while tests change it.

C's `setenv` moves the table of variables as it grows and frees the old one. A thread inside `getenv` at that moment, as
Ray's often are, reads freed memory, and the process may end in a segmentation fault. Here each change makes a new table
with the change and publishes it in one write; old tables are kept, so that whoever still reads one reads on.
"""

import ctypes
import os
from threading import Lock

_environ = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ")
_tables: list[object] = []
_lock = Lock()


def use_steady_environment() -> None:
    """Has `os.environ` publish new tables instead of changing C's own."""
    os.putenv = _put
    os.unsetenv = _unset


def _put(name: str | bytes, value: str | bytes) -> None:
    _publish(os.fsencode(name), os.fsencode(name) + b"=" + os.fsencode(value))


def _unset(name: str | bytes) -> None:
    _publish(os.fsencode(name), None)


def _publish(name: bytes, entry: bytes | None) -> None:
    with _lock:
        entries = [known for known in _read_table() if known.partition(b"=")[0] != name]
        if entry is not None:
            entries.append(entry)
        table = (ctypes.c_char_p * (len(entries) + 1))(*entries, None)
        _tables.append(table)
        _environ.value = ctypes.addressof(table)


def _read_table() -> list[bytes]:
    """What the C library holds now, which other libraries may have changed."""
    if not _environ.value:
        return []
    table = ctypes.cast(_environ.value, ctypes.POINTER(ctypes.c_char_p))
    entries: list[bytes] = []
    while (entry := table[len(entries)]) is not None:
        entries.append(entry)
    return entries
