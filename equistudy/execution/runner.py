"""Runs what a study lacks: from the plan to Ray, with signs of life on the way."""

import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from equistudy.execution.autoscaling import join_cluster
from equistudy.execution.cluster import Capacity, Resources, Site, find_blind_nodes, fit_resources
from equistudy.execution.cluster_monitor import monitor_cluster
from equistudy.execution.job_source import JobSource
from equistudy.results.store import Store
from equistudy.running.circuit_breaker import CircuitBreaker
from equistudy.running.job import RunConditions, TrialPhase, TrialProgress, collect_provenance
from equistudy.study.file import LoadedStudy

__all__ = ["Reporter", "RunOutcome", "check_shared_results", "handle_interrupts", "run_study"]

LOCAL_SITE = Site()
STORE_PATIENCE_SECONDS = 120.0  # how long what is learned waits for a store that does not answer, or for room on a disk


class RunOutcome(NamedTuple):
    """How a run ended; `broken` says why it ended itself."""

    done: int
    failed: int
    interrupted: bool
    seconds: float
    broken: str | None = None


@runtime_checkable
class Reporter(Protocol):
    """Receives the progress of a run."""

    def report_start(self, total: int, concurrent: int, packed: int = 1) -> None:
        """Ray is up; of `total` trials `concurrent` run at once, up to `packed` on each GPU."""
        ...

    def report_progress(self, progress: TrialProgress) -> None:
        """A trial gave a heartbeat."""
        ...

    def report_notice(self, text: str) -> None:
        """Something has happened to the cluster, or is waited for."""
        ...

    def report_stopping(self) -> None:
        """The user asked to stop; running trials write their checkpoints."""
        ...

    def report_lost(self, text: str) -> None:
        """The cluster has lost its head process, and this process is about to end."""
        ...


@contextmanager
def handle_interrupts(stopping: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C or SIGTERM requests a stop and calls `stopping`; the second has its default effect."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: object) -> None:
        asked.set()
        for each, handler in before.items():
            signal.signal(each, handler)
        stopping()

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_shared_results(capacity: Capacity, store: Store) -> None:
    """ValueError for results that not every node reaches.

    A local folder may be shared by all nodes: a file is written here and looked for from each. Nodes that have yet to
    start are assumed to have a disk of their own.
    """
    if capacity.nodes < 2 or not store.is_local:
        return
    name, token = f"running/{secrets.token_hex(8)}.reach", secrets.token_bytes(16)
    store.write_bytes(name, token)
    try:
        seeing, blind = find_blind_nodes(Path(store.url) / name, token)
    finally:
        store.delete(name)
    if blind or seeing < capacity.nodes:
        missing = f"which {', '.join(blind)} cannot see" if blind else f"of which {seeing} run and can see it"
        raise ValueError(
            f"A cluster with several nodes needs results that all nodes can reach, got the local folder {store.url} "
            f"and {capacity.nodes} nodes, {missing}. Give --results a shared folder or a URL such as "
            "s3://bucket/results."
        )


def run_study(
    loaded: LoadedStudy,
    source: JobSource,
    store: Store,
    resources: Resources,
    reporter: Reporter,
    site: Site = LOCAL_SITE,
    breaker: CircuitBreaker | None = None,
) -> RunOutcome:
    """Runs the jobs of the source, each to its row, unless the `breaker` finds that it makes no sense.

    Raises ValueError for a request that the cluster can never satisfy.
    """
    began = time.perf_counter()
    ends: dict[str, str] = {}
    breaker = breaker or CircuitBreaker()

    with (
        join_cluster(site, reporter.report_lost) as capacity,
        # after Ray, which takes SIGTERM for itself when it connects
        handle_interrupts(reporter.report_stopping) as asked,
        monitor_cluster(reporter.report_notice) as monitor,
    ):

        def tell(progress: TrialProgress) -> None:
            monitor.note_progress()
            breaker.record(progress)
            if progress.is_final:
                ends[progress.trial] = progress.phase
            reporter.report_progress(progress)

        import torch
        from ray import cloudpickle

        from equistudy.execution.tuner import run_jobs
        from equistudy.training.device import check_device

        chosen = fit_resources(resources, capacity)
        if chosen.gpus and not (site.address or site.file):
            check_device(torch.device("cuda"))
        check_shared_results(capacity, store)
        # specs that the study file itself defines exist in no package of the workers
        cloudpickle.register_pickle_by_value(loaded.module)
        conditions = RunConditions(
            study=loaded.name,
            store=store.with_patience(STORE_PATIENCE_SECONDS),
            provenance=collect_provenance(loaded.path),
            workers=chosen.workers,
            threads=chosen.threads,
            use_gpu=bool(chosen.gpus),
            gpu_share=min(1.0, chosen.gpus or 1.0),
            hang_seconds=chosen.hang_seconds,
        )
        reporter.report_start(source.total, min(source.total, chosen.max_concurrent or 1), chosen.pack or 1)
        run_jobs(source, conditions, chosen, tell, lambda: asked() or bool(breaker.broken or monitor.stuck))
        interrupted = asked()
    done = sum(phase == TrialPhase.DONE for phase in ends.values())
    failed = sum(phase == TrialPhase.FAILED for phase in ends.values())
    seconds, broken = time.perf_counter() - began, breaker.broken or monitor.stuck
    return RunOutcome(done, failed, interrupted and len(ends) < source.total, seconds, broken)
