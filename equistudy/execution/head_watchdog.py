"""Ends a process whose Ray cluster has lost its head, in our own words and before Ray aborts it.

A driver that cannot reach Ray's head process (the GCS) waits inside calls that nothing interrupts, until Ray's C++ code
ends the process after `RAY_gcs_rpc_server_reconnect_timeout_s`. So a thread tries to connect to the head itself.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["HEAD_LOST_EXIT_CODE", "HeadWatchdog", "tell_head_lost", "watch_head"]

HEAD_LOST_EXIT_CODE: Final = 4
CHECK_SECONDS = 2.0
ANSWER_SECONDS = 5.0
LOCAL_PATIENCE_SECONDS = 8.0  # nobody starts the head of a local Ray again
RECONNECT_VARIABLE = "RAY_gcs_rpc_server_reconnect_timeout_s"
RECONNECT_SECONDS = 60.0  # Ray's default
MARGIN_SECONDS = 20.0  # by which we are earlier than Ray


class HeadWatchdog:
    """Decides that the head is lost once it has not answered for `patience` seconds."""

    def __init__(
        self, answers: Callable[[], bool], patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._answers, self._patience, self._clock = answers, patience, clock
        self._silent_since: float | None = None

    def is_lost(self) -> bool:
        """Asks the head; whether it has been silent for too long. One that comes back in time is not lost."""
        asked_at = self._clock()
        if self._answers():
            self._silent_since = None
            return False
        if self._silent_since is None:
            self._silent_since = asked_at
        return self._clock() - self._silent_since >= self._patience


def tell_head_lost(text: str) -> None:
    """Writes to stderr that the head is lost, for callers that know no command that resumes."""
    sys.stderr.write(f"{text} Run the same command again.\n")


@contextlib.contextmanager
def watch_head(is_local: bool, tell: Callable[[str], None]) -> Iterator[None]:
    """While the block runs: if the connected cluster's head is lost, tells why and ends this process.

    Unwinding is no way out: every call into Ray, also that of its shutdown, would wait for the head.
    """
    import ray

    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    place = host.strip("[]"), int(port)
    node = ray._private.worker._global_node
    watchdog, ended = HeadWatchdog(lambda: _accepts_connections(place), choose_patience(is_local)), threading.Event()

    def watch() -> None:
        while not ended.wait(CHECK_SECONDS):
            if watchdog.is_lost() and not ended.is_set():
                _end_process(node if is_local else None, _describe_loss(f"{host}:{port}", is_local), tell)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def choose_patience(is_local: bool) -> float:
    """How long the head may be silent: that of a cluster may be started again, as long as Ray waits for it."""
    try:
        reconnect = float(os.environ.get(RECONNECT_VARIABLE, RECONNECT_SECONDS))
    except ValueError:
        reconnect = RECONNECT_SECONDS  # Ray itself refuses the value
    most = max(LOCAL_PATIENCE_SECONDS, reconnect - MARGIN_SECONDS)
    return min(LOCAL_PATIENCE_SECONDS, most) if is_local else most


def _accepts_connections(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


def _describe_loss(address: str, is_local: bool) -> str:
    reason = "killed, perhaps for lack of memory" if is_local else "its machine may be down or unreachable"
    return (
        f"Ray's head process (gcs_server at {address}) no longer answers: {reason}. "
        "Finished trials are kept, the others resume from their checkpoints."
    )


def _end_process(node: Any, text: str, tell: Callable[[str], None]) -> None:
    """Kills the Ray processes of `node`, which this process started, tells why, and exits without unwinding."""
    with contextlib.suppress(Exception):  # whatever goes wrong here, the process must end
        for each in node.all_processes.values() if node is not None else ():
            for started in each:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(started.process.pid, signal.SIGKILL)
    with contextlib.suppress(Exception):
        tell(text)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(HEAD_LOST_EXIT_CODE)
