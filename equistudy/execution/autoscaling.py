"""An autoscaling cluster of several Ray nodes on this one machine, started for as long as a run lasts."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from equistudy.execution.cluster import (
    LATE_START_MESSAGE,
    MAX_START_ATTEMPTS,
    Capacity,
    Site,
    connect_to_ray,
)
from equistudy.execution.cluster_file import ClusterFile
from equistudy.execution.head_watchdog import tell_head_lost
from equistudy.execution.ray_environment import prepare_ray_environment

__all__ = ["RayHead", "join_cluster", "kill_cluster_processes", "start_head", "start_local_cluster"]

START_SECONDS = 120.0
STARTED_MESSAGE = "Ray runtime started"
STOP_SECONDS = 20.0
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
HEAD_OBJECT_STORE_BYTES = 83886080  # of the head, which holds handles only
# read by the head and by the nodes that it starts
ENVIRONMENT = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
CLUSTER_MARKER = "EQUISTUDY_CLUSTER"  # in the environment of every process of a cluster: its folder


class RayHead(NamedTuple):
    """The process of a head that runs, its port, and that of its jobs."""

    process: subprocess.Popen[bytes]
    port: int
    jobs: int


@contextmanager
def join_cluster(site: Site, tell_lost: Callable[[str], None] = tell_head_lost) -> Iterator[Capacity]:
    """The cluster of the site, or else Ray on this machine, for as long as the block runs.

    The capacity of an autoscaling cluster is what it has when every node is up that its file allows. Without an address
    its nodes are started on this machine, if the file says so. `tell_lost` is for a cluster that loses its head.
    """
    if site.file is None:
        with connect_to_ray(site.address, site.num_cpus, tell_lost) as capacity:
            yield capacity
        return
    prepare_ray_environment(site.address)  # before the capacity, which imports Ray
    file = ClusterFile(site.file)
    capacity = file.capacity
    if site.address is not None:
        with connect_to_ray(site.address, tell_lost=tell_lost):
            yield capacity
        return
    if not file.is_local:
        raise ValueError(
            f"A cluster with nodes on other machines must already be running, got {site.file} without --address. "
            f"Start it with `ray up {site.file}`, and run the study on its head node with --address auto --cluster "
            "FILE."
        )
    with start_local_cluster(file) as started, connect_to_ray(started, tell_lost=tell_lost):
        yield capacity


@contextmanager
def start_local_cluster(file: ClusterFile) -> Iterator[str]:
    """Starts the head of the cluster that `file` describes and gives its address; no node outlives the block.

    The head trains nothing: nodes start as soon as a trial waits for one. If this process dies, so does the cluster.
    """
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        head = start_head(file, folder, _die_with_parent)
        try:
            yield f"127.0.0.1:{head.port}"
        finally:
            _stop_head(head.process, folder)


def start_head(file: ClusterFile, folder: str, first: Callable[[], None] | None = None) -> RayHead:
    """Starts the head of the cluster that `file` describes. `folder` marks its processes, which begin with `first`.

    Ray gives a head 30 s to start: on a machine with much else to do another try may help. Raises RuntimeError with
    the log of a head that does not start.
    """
    log = Path(folder) / "head.log"
    for attempt in range(1, 1 + MAX_START_ATTEMPTS):
        config, port, jobs = write_head_config(file, Path(folder))
        with log.open("wb") as output:
            process = subprocess.Popen(
                build_head_command(port, jobs, Path(folder), config),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **ENVIRONMENT, CLUSTER_MARKER: folder},
                start_new_session=True,
                preexec_fn=first,  # noqa: PLW1509 -- one call into libc, which takes no lock
            )
        try:
            _wait_for_head(process, log)
            break
        except RuntimeError as error:
            _stop_head(process, folder)
            if attempt == MAX_START_ATTEMPTS or LATE_START_MESSAGE not in str(error):
                raise
    return RayHead(process, port, jobs)


def write_head_config(file: ClusterFile, folder: Path) -> tuple[Path, int, int]:
    """Writes what Ray's autoscaler reads; gives the file, and free ports for the cluster and for its jobs."""
    port, config = _find_free_port(), folder / "autoscaling.json"
    provider = {**file.content["provider"], "gcs_address": f"127.0.0.1:{port}"}
    config.write_text(json.dumps({**file.ray_config, "provider": provider}))
    return config, port, _find_free_port()


def build_head_command(port: int, jobs: int, folder: Path, config: Path) -> list[str]:
    """Starts a head that trains nothing. Its dashboard, which takes jobs, listens on loopback alone."""
    options = {
        "port": port,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": jobs,
        # by default the same on every head of a machine, of which the second then takes no jobs
        "dashboard-agent-listen-port": _find_free_port(),
        "ray-client-server-port": _find_free_port(),
        "num-cpus": 0,
        "object-store-memory": HEAD_OBJECT_STORE_BYTES,
        "temp-dir": folder,
        "autoscaling-config": config,
    }
    ray = Path(sys.executable).with_name("ray")
    words = [str(ray), "start", "--head", "--block", "--disable-usage-stats", "--node-ip-address=127.0.0.1"]
    return [*words, *(f"--{name}={value}" for name, value in options.items())]


def _find_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _die_with_parent() -> None:
    """Linux only; elsewhere a cluster whose run was killed is stopped by hand."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)


def _wait_for_head(head: subprocess.Popen[bytes], log: Path) -> None:
    """Raises RuntimeError with the log of a head that does not start."""
    deadline = time.monotonic() + START_SECONDS
    while STARTED_MESSAGE not in (told := log.read_text(errors="replace")):
        if head.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(
                f"The head of the local cluster did not start within {START_SECONDS:g} s: {told[-1000:]}"
            )
        time.sleep(0.1)


def _stop_head(head: subprocess.Popen[bytes], folder: str) -> None:
    """Ends the head, which ends its nodes, and then whatever is left of them."""
    head.terminate()
    try:
        head.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        head.kill()
        head.wait()
    kill_cluster_processes(folder, head.pid)


def kill_cluster_processes(folder: str, head: int | None = None) -> None:
    """Ends every process of the cluster of this folder.

    Those that name themselves anew write over their environment, and the mark with it; but they stay in the session
    that the head began, which bears its number.
    """
    running, marked = {}, {head}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            running[int(process.name)] = os.getsid(int(process.name))
            if f"{CLUSTER_MARKER}={folder}".encode() in (process / "environ").read_bytes():
                marked |= {int(process.name), running[int(process.name)]}
        except OSError:
            continue  # it has ended by itself
    for number, session in running.items():
        if number in marked or session in marked:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
