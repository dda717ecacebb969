"""Says what a run waits for: nodes that start, nodes that are lost, requests and processes that do not come."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["ClusterMonitor", "monitor_cluster"]

CHECK_SECONDS = 3.0
SILENCE_SECONDS = 20.0  # without news of any trial, after which it says what is missing
STUCK_SECONDS = 600.0  # a process that has its place and has not begun by then never will
STATUS_KEY = b"__autoscaling_status"  # where Ray's autoscaler reports to `ray status`


class ClusterMonitor:
    """Compares the cluster with what it was a moment ago, and tells what has changed; each thing once."""

    def __init__(self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._clock = tell, clock
        self._nodes: dict[str, str] | None = None
        self._said: dict[str, str] = {}
        self._news_at = clock()
        self._unborn_since: float | None = None
        self.stuck: str | None = None  # why nothing will ever move

    def note_progress(self) -> None:
        """A trial has given a heartbeat: nobody waits for the cluster."""
        self._news_at = self._clock()

    def check(
        self, nodes: list[dict[str, Any]], report: Mapping[str, Any], free: Mapping[str, float], unborn: int = 0
    ) -> None:
        """Tells what is new in the nodes of `ray.nodes()`, the autoscaler's report and the free resources.

        `unborn` counts processes that have their place on a node and have not begun, where no other lives.
        """
        alive = {node["NodeID"]: _describe_node(node) for node in nodes if node["Alive"]}
        if self._nodes is not None:
            for name in alive.keys() - self._nodes.keys():
                self._tell(f"A node has joined: {alive[name]}")
            for name in self._nodes.keys() - alive.keys():
                self._tell(f"A node is gone: {self._nodes[name]}. Its trials start again from their checkpoints")
        self._nodes = alive
        autoscaler = report.get("autoscaler_report") or {}
        self._tell_once("starting", _describe_starting_nodes(autoscaler))
        self._tell_once("failed", _describe_failed_nodes(autoscaler))
        waiting = None
        if self._clock() - self._news_at > SILENCE_SECONDS:
            waiting = _describe_unmet_demand(report.get("load_metrics_report") or {}, free, len(alive))
        self._tell_once("waiting", waiting)
        self._check_starts(unborn)

    def _check_starts(self, unborn: int) -> None:
        """Ray starts a worker that dies at its start again and again, and says so in its logs alone."""
        if not unborn:
            self._unborn_since = None
            return
        if self._unborn_since is None:
            self._unborn_since = self._clock()
        if self._clock() - max(self._unborn_since, self._news_at) > STUCK_SECONDS:
            self.stuck = (
                f"No trial could begin: none of {unborn} processes has started within {STUCK_SECONDS:g} s, although "
                "nodes have room for them. Look into worker*.err and raylet.out in Ray's logs on the nodes "
                "(/tmp/ray/session_latest/logs): Python, torch or equistudy may be broken there."
            )

    def _tell_once(self, kind: str, text: str | None) -> None:
        if text and self._said.get(kind) != text:
            self._tell(text)
        self._said[kind] = text or ""


def _describe_node(node: Mapping[str, Any]) -> str:
    resources = node["Resources"]
    gpus = f" and {resources['GPU']:g} GPUs" if resources.get("GPU") else ""
    return f"{node['NodeManagerAddress']} with {resources.get('CPU', 0):g} CPUs{gpus}"


def _describe_starting_nodes(report: Mapping[str, Any]) -> str | None:
    """How many nodes of which kind have been asked for, and are not here yet."""
    kinds: dict[str, int] = dict(report.get("pending_launches") or {})
    for _, kind, _ in report.get("pending_nodes") or ():
        kinds[kind] = kinds.get(kind, 0) + 1
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    return f"Nodes are starting: {listed}" if listed else None


def _describe_failed_nodes(report: Mapping[str, Any]) -> str | None:
    """What the cloud has refused, in its own words, such as a quota."""
    found = (report.get("node_availability_summary") or {}).get("node_availabilities") or {}
    reasons = {
        kind: (told.get("unavailable_node_information") or {}).get("description") or "no reason given"
        for kind, told in found.items()
        if not told.get("is_available", False)
    }
    listed = "; ".join(f"{kind}: {reason}" for kind, reason in reasons.items())
    return f"Nodes could not be started: {listed}. Raise the quota, or edit the cluster's file" if listed else None


def _describe_unmet_demand(report: Mapping[str, Any], free: Mapping[str, float], nodes: int) -> str | None:
    """A sentence with the requests that the cluster cannot satisfy, with numbers."""
    groups = [bundle for bundles, _ in report.get("pg_demand") or () for bundle in _list_bundles(bundles)]
    wanted = [*(bundle for bundle, _ in report.get("resource_demand") or ()), *groups]
    if not wanted:
        return None
    largest = max(wanted, key=lambda bundle: sum(bundle.values()))
    asked = ", ".join(f"{amount:g} {name}" for name, amount in largest.items() if "_group_" not in name)
    there = ", ".join(f"{free.get(name, 0):g} {name}" for name in ("CPU", "GPU"))
    told = f"No trial has made progress for {SILENCE_SECONDS:g} s: one is waiting for {asked}"
    return f"{told}; free on {nodes} nodes: {there}"


def _list_bundles(group: Mapping[str, Any]) -> list[dict[str, float]]:
    return [bundle for bundle, _ in group.get("bundles", ())]


@contextmanager
def monitor_cluster(tell: Callable[[str], None]) -> Iterator[ClusterMonitor]:
    """Looks at the connected cluster every few seconds while the block runs, in a thread of its own."""
    monitor, ended = ClusterMonitor(tell), threading.Event()

    def watch() -> None:
        while not ended.wait(CHECK_SECONDS):
            try:
                monitor.check(*_query_cluster())
            except Exception as error:
                # whatever Ray answers when it has lost its head: the run itself will find out
                monitor._tell_once("lost", f"Cannot query the cluster: {type(error).__name__}")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield monitor
    finally:
        ended.set()
        thread.join(CHECK_SECONDS)


def _query_cluster() -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, float], int]:
    import ray
    from ray.experimental.internal_kv import _internal_kv_get

    report = _internal_kv_get(STATUS_KEY)
    return ray.nodes(), json.loads(report) if report else {}, ray.available_resources(), _count_unstarted_actors()


def _count_unstarted_actors() -> int:
    """Actors of this run that have not begun, if none lives. Tune asks for one once its place is reserved."""
    import ray
    from ray._private.state import state

    job = ray._private.worker.global_worker.current_job_id
    if state.actor_table(None, job, "ALIVE"):
        return 0
    return len(state.actor_table(None, job, "PENDING_CREATION"))
