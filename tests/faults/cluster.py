"""A Ray cluster of several nodes on this machine, of which any process may be killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tests.faults.proxy import free_port

__all__ = ["Cluster", "kill_tree"]

STORE_BYTES = 80 * 1024**2
PATIENCE = 240.0
# a head that is gone is given up after 10 s instead of 60 s; Ray runs its workers at nice 15, where they starve as soon
# as the machine has anything else to do
SETTINGS = {"RAY_gcs_rpc_server_reconnect_timeout_s": "10", "RAY_worker_niceness": "0"}


def kill_tree(pid: int) -> None:
    """kill -9 of a process and of all that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


class Cluster:
    """A head that trains nothing, and nodes of one CPU, each a process group of its own."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.port, self._folder = free_port(), folder
        self._joining = (f"--address={self.address}", "--num-cpus=1")
        folder.mkdir(exist_ok=True)
        head = ["--head", f"--port={self.port}", "--num-cpus=0", f"--temp-dir={folder}", "--include-dashboard=false"]
        head.append(f"--dashboard-port={free_port()}")
        self.head = self._start(0, *head)
        self.head = self._until_up(self.head, 0, *head)
        self._started = 0
        self.nodes = [self.add() for _ in range(nodes)]
        for number, node in enumerate(self.nodes):
            self.nodes[number] = self._until_up(node, 1 + number, *self._joining)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _log(self, number: int) -> Path:
        return self._folder / f"ray.{number}.log"

    def _start(self, number: int, *options: str) -> subprocess.Popen[bytes]:
        ray = str(Path(sys.executable).with_name("ray"))
        command = [ray, "start", "--block", "--disable-usage-stats", "--node-ip-address=127.0.0.1", *options]
        command.append(f"--object-store-memory={STORE_BYTES}")
        with self._log(number).open("wb") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **SETTINGS}, start_new_session=True
            )

    def add(self) -> subprocess.Popen[bytes]:
        self._started += 1
        return self._start(self._started, *self._joining)

    def _until_up(self, process: subprocess.Popen[bytes], number: int, *options: str) -> subprocess.Popen[bytes]:
        """Waits for it. Ray gives a node 30 s to start: on a machine with much else to do, another try may help."""
        deadline = time.monotonic() + PATIENCE
        while "Ray runtime started" not in (said := self._log(number).read_text(errors="replace")):
            assert time.monotonic() < deadline, said[-2000:]
            if process.poll() is not None:
                process = self._start(number, *options)
            time.sleep(0.1)
        return process

    def lose(self, number: int) -> int:
        """kill -9 of a node's raylet, whose workers die with it; another node starts in its place."""
        node = self.nodes[number]
        raylets = [each for each in psutil.Process(node.pid).children(recursive=True) if each.name() == "raylet"]
        pid = raylets[0].pid
        raylets[0].send_signal(signal.SIGKILL)
        self.nodes[number] = self.add()
        return pid

    def kill(self) -> None:
        """kill -9 of everything at once: head and nodes."""
        for process in (self.head, *self.nodes):
            kill_tree(process.pid)
            process.wait()

    def stop(self) -> None:
        """Ends it all; what a lost node has left goes too, for it stands in the cluster's folder."""
        self.kill()
        for process in psutil.process_iter(["cmdline"]):
            if any(f"{self._folder}/session_" in word for word in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
