"""A Ray cluster of several nodes on this machine, of which any process may be killed."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.faults.proxy import free_port

__all__ = ["Cluster", "kill_tree"]

STORE_BYTES = 80 * 1024**2
# what these tests do without, each a process of a second and more of processor time
LEAN = ("--disable-usage-stats", "--include-log-monitor=false")
LEAN_HEAD = ("--no-monitor", "--include-dashboard=false")
PATIENCE = 480.0
STARTS = 20  # more would mean that they start in vain
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


class Node(NamedTuple):
    """What has started a head or a node and ends with it, and what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def up(self) -> bool:
        return "Ray runtime started" in self.log.read_text(errors="replace")


class Cluster:
    """A head that trains nothing, and nodes of one CPU, each a process group of its own.

    There are always as many nodes, as a cloud would have it: another starts in the place of one that has ended. Ray
    gives a node 30 s to start, which on a machine with much else to do may take several of them.
    """

    def __init__(self, folder: Path, nodes: int) -> None:
        self.port, self._folder, self._started = free_port(), folder, 0
        folder.mkdir(exist_ok=True)
        self.nodes: list[Node] = []
        self._ended = threading.Event()
        self._keeping = threading.Thread(target=self._keep, daemon=True)
        try:
            self.head = self._add_head()
            self._until(self._head_is_up)
            self.nodes += [self._add_node() for _ in range(nodes)]
            self._keeping.start()
            self._until(lambda: all(node.up for node in self.nodes))
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _add_head(self) -> Node:
        options = ["--head", f"--port={self.port}", "--num-cpus=0", f"--temp-dir={self._folder}", *LEAN_HEAD]
        return self._start(*options, f"--dashboard-port={free_port()}", f"--ray-client-server-port={free_port()}")

    def _add_node(self) -> Node:
        return self._start(f"--address={self.address}", "--num-cpus=1")

    def _start(self, *options: str) -> Node:
        ray = str(Path(sys.executable).with_name("ray"))
        command = [ray, "start", "--block", *LEAN, "--node-ip-address=127.0.0.1", *options]
        command.append(f"--object-store-memory={STORE_BYTES}")
        path = self._folder / f"ray.{self._started}.log"
        self._started += 1
        with path.open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **SETTINGS}, start_new_session=True
            )
        return Node(process, path)

    def _head_is_up(self) -> bool:
        if self.head.process.poll() is not None:
            self.head = self._add_head()
        return self.head.up

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            said = [node.log.read_text(errors="replace")[-500:] for node in (self.head, *self.nodes)]
            assert time.monotonic() < deadline, said
            assert self._started < STARTS, said
            time.sleep(0.1)

    def _keep(self) -> None:
        while not self._ended.wait(0.5):
            for number, node in enumerate(list(self.nodes)):
                if number < len(self.nodes) and node.process.poll() is not None:
                    self.nodes[number] = self._add_node()

    def widen(self) -> None:
        """Starts another node."""
        self.nodes.append(self._add_node())
        self._until(lambda: self.nodes[-1].up)

    def narrow(self) -> None:
        """Ends the node that was added last."""
        node = self.nodes.pop()
        time.sleep(1.0)  # nobody is about to start another in its place
        kill_tree(node.process.pid)
        node.process.wait()

    def processes(self, number: int) -> list[psutil.Process]:
        """A node's raylet and what it has started; none while it starts itself."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.nodes[number].process.pid).children(recursive=True):
                if process.name() == "raylet":
                    return [process, *process.children(recursive=True)]
        return []

    def lose(self, number: int) -> int:
        """kill -9 of a node's raylet, whose workers die with it."""
        raylet, *_ = self.processes(number)
        raylet.kill()
        return raylet.pid

    def stop(self) -> None:
        """kill -9 of everything at once; what a lost node has left goes too, for it stands in the cluster's folder."""
        self._ended.set()
        if self._keeping.is_alive():
            self._keeping.join()
        for node in (self.head, *self.nodes):
            kill_tree(node.process.pid)
            node.process.wait()
        for process in psutil.process_iter(["cmdline"]):
            if any(f"{self._folder}/session_" in word for word in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
