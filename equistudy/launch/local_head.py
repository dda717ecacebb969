"""An autoscaling cluster on this machine that outlives the command that starts it.

python -m equistudy.launch.local_head up|down FILE
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from equistudy.execution.autoscaling import CLUSTER_MARKER, kill_cluster_processes, start_head
from equistudy.execution.cluster_file import ClusterFile
from equistudy.spec import compute_digest

__all__ = ["LocalHead", "start_local_head", "stop_local_head"]


@dataclass(frozen=True)
class LocalHead:
    """A cluster that runs: where its jobs are submitted, its token, and the folder that marks its processes."""

    address: str
    jobs: str
    token: str
    folder: str
    pid: int

    @classmethod
    def load(cls, file: ClusterFile) -> "LocalHead | None":
        """What `start_local_head` has left, or None where the head does not run."""
        state = _state_path(file)
        try:
            if state.stat().st_uid != os.getuid():
                return None
            found = cls(**json.loads(state.read_text()))
        except FileNotFoundError:
            return None
        return found if _is_running(found) else None


def _state_path(file: ClusterFile) -> Path:
    """One for each cluster file, user and machine: home folders may be shared, and a name may be in two files."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    identity = compute_digest(f"{os.getuid()}|{socket.gethostname()}|{file.path.resolve()}", "c")
    return base / "equistudy" / f"{file.content['cluster_name']}.{identity}.json"


def _is_running(running: LocalHead) -> bool:
    try:
        return f"{CLUSTER_MARKER}={running.folder}".encode() in Path(f"/proc/{running.pid}/environ").read_bytes()
    except OSError:
        return False


def start_local_head(file: ClusterFile) -> LocalHead:
    """Starts the head, unless it runs. Its dashboard listens on loopback alone, and asks for a token."""
    running = LocalHead.load(file)
    if running is not None:
        return running
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    token = secrets.token_hex(32)
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
    head = start_head(file, str(folder))
    running = LocalHead(f"127.0.0.1:{head.port}", f"http://127.0.0.1:{head.jobs}", token, str(folder), head.process.pid)
    state = _state_path(file)
    state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileNotFoundError):
        state.unlink()
    with os.fdopen(os.open(state, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
        json.dump(asdict(running), written)
    return running


def stop_local_head(file: ClusterFile) -> bool:
    """Ends the head and its nodes; whether there was one."""
    running = LocalHead.load(file)
    if running is not None:
        kill_cluster_processes(running.folder)
        shutil.rmtree(running.folder, ignore_errors=True)
    _state_path(file).unlink(missing_ok=True)
    return running is not None


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("up", "down"))
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    file = ClusterFile(arguments.file)
    if arguments.verb == "up":
        running = start_local_head(file)
        told = f"the head of {file.path} runs at {running.address}, its jobs at {running.jobs}"
    else:
        told = f"{file.path} is down" if stop_local_head(file) else f"{file.path} was not up"
    os.write(1, f"{told}\n".encode())


if __name__ == "__main__":
    main()
