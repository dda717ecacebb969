"""A running Ray: started on this machine or joined by address, quiet, with requests checked before they wait."""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from equistudy.execution.head_watchdog import tell_head_lost, watch_head
from equistudy.execution.ray_environment import prepare_ray_environment
from equistudy.execution.startup_watchdog import watch_startup
from equistudy.spec import CheckedFields

__all__ = [
    "LATE_START_MESSAGE",
    "MAX_START_ATTEMPTS",
    "Capacity",
    "Resources",
    "Site",
    "connect_to_ray",
    "find_blind_nodes",
    "fit_resources",
]

ANSWER_SECONDS = 5.0
LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
MAX_START_ATTEMPTS = 3  # how often Ray is started here before that fails
LATE_START_MESSAGE = "timed out during startup"
GPU_PARTS = 10_000  # of a GPU, in which Ray counts
MAX_PACKED = 100  # up to here the rounded fractions differ from those of one more
OBJECT_STORE_BYTES = 256 * 1024**2  # specs and handles; data sets are read by each process


@dataclass(frozen=True)
class Resources(CheckedFields):
    """What one trial gets, and how many run at once. `gpus` may be a fraction; None takes one where there is one.

    `pack` trials share each GPU: small networks leave most of it idle. Each is a process of its own with its part of
    the memory, so that any model can be packed, and its row is that of a trial alone. A trial that ends no step for
    `hang_seconds` counts as hung.
    """

    cpus: float = 1.0
    gpus: float | None = None
    workers: int = 1
    max_concurrent: int | None = None
    hang_seconds: float = 3600.0
    pack: int | None = None

    def __post_init__(self) -> None:
        if self.pack is not None:
            self._pack(self.pack)
        if self.cpus <= 0 or (self.gpus is not None and self.gpus < 0):
            raise ValueError(f"A trial needs cpus > 0 and gpus >= 0, got cpus={self.cpus:g}, gpus={self.gpus}.")
        if self.workers < 1:
            raise ValueError(f"A trial needs at least one worker, got workers={self.workers}.")
        if self.hang_seconds <= 0:
            raise ValueError(
                f"hang_seconds must be positive, got hang_seconds={self.hang_seconds:g}. Raise --hang-minutes."
            )
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise ValueError(f"max_concurrent must be at least 1, got max_concurrent={self.max_concurrent}.")

    def _pack(self, pack: int) -> None:
        if not 1 <= pack <= MAX_PACKED:
            raise ValueError(f"pack must be between 1 and {MAX_PACKED} trials per GPU, got pack={pack}. Try 4.")
        share = GPU_PARTS // pack / GPU_PARTS  # rounded down: as many fit
        if self.gpus not in (None, share):
            raise ValueError(
                f"--pack already determines the GPU share of each trial, got pack={pack} and gpus={self.gpus:g}. Leave "
                "out --pack or --gpus-per-trial."
            )
        if self.workers > 1:
            raise ValueError(
                f"--pack cannot be combined with several workers per trial, got pack={pack} and "
                f"workers={self.workers}. Leave out --pack or --workers-per-trial."
            )
        object.__setattr__(self, "gpus", share)

    @property
    def threads(self) -> int:
        """Threads of each process: its whole CPUs, so that trials side by side do not oversubscribe the cores."""
        return max(1, int(self.cpus))


class Site(NamedTuple):
    """Where trials run: a cluster to join, the file of an autoscaling one, or Ray started here with this many CPUs."""

    address: str | None = None
    num_cpus: int | None = None
    file: Path | None = None


@dataclass(frozen=True)
class Capacity:
    """The resources of the cluster: in total, and on its largest node."""

    cpus: float
    gpus: float
    node_cpus: float
    node_gpus: float
    nodes: int


@contextmanager
def connect_to_ray(
    address: str | None, num_cpus: int | None = None, tell_lost: Callable[[str], None] = tell_head_lost
) -> Iterator[Capacity]:
    """Joins the cluster at `address`, or starts Ray on this machine for as long as the block runs.

    If the cluster loses its head process meanwhile, `tell_lost` gets the reason and this process ends.
    """
    prepare_ray_environment(address)
    with _listen_on_loopback(address):
        own = _join_or_start(address, num_cpus)
    import ray

    try:
        with watch_head(address is None, tell_lost):
            yield _query_capacity()
    finally:
        if own:
            ray.shutdown()


def _join_or_start(address: str | None, num_cpus: int | None) -> bool:
    """Connects this process to Ray; whether it was not connected before."""
    import ray

    own = not ray.is_initialized()
    if own:
        _check_reachable(address)
        options: dict[str, Any] = {"address": address}
        if address is None:
            # no dashboard: `status` tells of a run, and its ten processes would start before the first trial
            options = {"address": "local", "num_cpus": num_cpus, "include_dashboard": False}
            options["object_store_memory"] = OBJECT_STORE_BYTES
        try:
            with watch_startup():
                _initialise_ray(options)
        except ConnectionError as error:
            raise ValueError(_describe_no_answer(address)) from error
    return own


@contextmanager
def _listen_on_loopback(address: str | None) -> Iterator[None]:
    """Has all servers of a Ray that starts here listen on 127.0.0.1 alone, also those of metrics, which need no token.

    Ray has this for platforms on which it knows no clusters, and reads it when it is imported: where a study file has
    imported Ray before, the servers listen on all interfaces.
    """
    if address is not None or LOOPBACK_VARIABLE in os.environ or "ray" in sys.modules:
        yield
        return
    os.environ[LOOPBACK_VARIABLE] = "0"
    try:
        yield
    finally:
        del os.environ[LOOPBACK_VARIABLE]  # a `ray start` of this process may join other machines


def _initialise_ray(options: dict[str, Any]) -> None:
    """Ray gives its own processes 30 s to start; on a machine with much else to do another try may help."""
    import ray

    for attempt in range(1, 1 + MAX_START_ATTEMPTS):
        try:
            ray.init(log_to_driver=False, logging_level="error", configure_logging=False, **options)
        except Exception as error:
            if attempt == MAX_START_ATTEMPTS or LATE_START_MESSAGE not in str(error):
                raise
            ray.shutdown()
        else:
            return


def _check_reachable(address: str | None) -> None:
    """Raises ValueError where nothing answers at `host:port`: Ray itself goes on trying for many minutes."""
    if address in (None, "auto"):
        return
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 2**16):
        raise ValueError(
            f"The address of a Ray cluster is HOST:PORT or 'auto', got {address!r}. Use the one that "
            "`ray start --head` prints."
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except (OSError, UnicodeError) as error:  # a name with empty or very long parts cannot be encoded
        raise ValueError(_describe_no_answer(address)) from error


def _describe_no_answer(address: str | None) -> str:
    return (
        f"No Ray cluster answers at {address!r}. Start one (ray start --head), use --address auto on its head node, or "
        "leave --address out to run on this machine."
    )


def _query_capacity() -> Capacity:
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Capacity(
        cpus=sum(node.get("CPU", 0) for node in nodes),
        gpus=sum(node.get("GPU", 0) for node in nodes),
        node_cpus=max((node.get("CPU", 0) for node in nodes), default=0),
        node_gpus=max((node.get("GPU", 0) for node in nodes), default=0),
        nodes=len(nodes),
    )


def find_blind_nodes(path: Path, content: bytes) -> tuple[int, list[str]]:
    """How many of the running nodes find a file with this content at `path`, and the addresses of those that do not."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    look = ray.remote(num_cpus=0)(_has_content)
    wanted = (path, content, ANSWER_SECONDS)
    found = ray.get([look.options(scheduling_strategy=place).remote(*wanted) for place in places])
    return sum(found), [node["NodeManagerAddress"] for node, seen in zip(nodes, found, strict=True) if not seen]


def _has_content(path: Path, content: bytes, patience: float) -> bool:
    """Whether the file has the content; a shared file system may take a moment to show it."""
    deadline = time.monotonic() + patience
    while not (path.is_file() and path.read_bytes() == content):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def fit_resources(resources: Resources, capacity: Capacity) -> Resources:
    """The request with every open value chosen, or ValueError where no node can ever satisfy it.

    `max_concurrent` is what fits: more would only wait, and several workers of one trial must start together.
    """
    gpus = resources.gpus if resources.gpus is not None else min(1.0, capacity.node_gpus)
    if resources.pack is not None and not capacity.node_gpus:
        raise ValueError(
            f"--pack needs a node with a GPU, got pack={resources.pack} and no GPU. Leave out --pack; to share CPUs, "
            "set --cpus-per-trial to a fraction."
        )
    for name, wanted, node, option in (
        ("CPUs", resources.cpus, capacity.node_cpus, "--cpus-per-trial"),
        ("GPUs", gpus, capacity.node_gpus, "--gpus-per-trial"),
    ):
        if wanted > node:
            raise ValueError(
                f"Each worker of a trial must fit on one node, got a request for {wanted:g} {name} and a largest node "
                f"with {node:g}. Lower {option} or join a larger cluster with --address."
            )
    fit = capacity.cpus // resources.cpus
    if gpus:
        fit = min(fit, int(capacity.node_gpus / gpus + 1e-9) * capacity.gpus // max(capacity.node_gpus, 1))
    if resources.workers > fit:
        raise ValueError(
            f"All workers of a trial must run at the same time, got {resources.workers} workers of "
            f"{resources.cpus:g} CPUs and "
            f"{gpus:g} GPUs each, and room for {fit:g}. Lower --workers-per-trial or join a larger cluster."
        )
    most = int(fit // resources.workers)
    chosen = most if resources.max_concurrent is None else min(most, resources.max_concurrent)
    return replace(resources, gpus=gpus, max_concurrent=chosen)
