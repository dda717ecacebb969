"""Ends a process that would wait for ever for a Ray whose workers die as soon as they start.

`ray.init` waits for its first workers inside a call that nothing interrupts: no thread of the process runs meanwhile.
So this file is also a program, which looks at what Ray says while another process starts it:

python start_watch.py PID
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["find_crash", "watch_startup"]

CHECK_SECONDS = 2.0
CRASH_MESSAGE = (
    "probably it crashed during start"  # Ray's words, after RAY_worker_register_timeout_seconds, 60 by default
)
RAY_LOG_LINE = re.compile(r"\[\d{4}-\d\d-\d\d |\s|$")  # how lines of Ray's own log begin, and those within a traceback


@contextmanager
def watch_startup() -> Iterator[None]:
    """While the block starts Ray on this machine: where its workers crash, says why and ends this process."""
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as watch:
        try:
            yield
        finally:
            watch.kill()


def _watch_process(pid: int) -> None:
    while os.getppid() == pid:
        for log in _find_logs(pid):
            why = find_crash(log.read_text(errors="replace"))
            if why is not None:
                os.write(2, f"{_describe_crash(why, log)}\n".encode())
                os.kill(pid, signal.SIGKILL)  # at any other signal Ray writes its own traceback
                return
        time.sleep(CHECK_SECONDS)


def _find_logs(pid: int) -> list[Path]:
    """What the raylets of a process have said: Ray names a session after the process that starts it."""
    base = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray"
    return list(base.glob(f"session_*_{pid}/logs/raylet.err"))


def find_crash(said: str) -> str | None:
    """The last words of a worker that has crashed at its start; None where none has."""
    if CRASH_MESSAGE not in said:
        return None
    words = [line.strip() for line in said.splitlines() if not RAY_LOG_LINE.match(line)]
    return words[-1] if words else "it said nothing"


def _describe_crash(why: str, log: Path) -> str:
    return (
        f"No trial could begin: Ray's workers crash as soon as they start: {why.rstrip('.')}. Fix the Python "
        f"environment, then run the same command again. Their full output is in {log}"
    )


if __name__ == "__main__":
    _watch_process(int(sys.argv[1]))
