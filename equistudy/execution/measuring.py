"""Spreads the measuring of networks over Ray workers, shard by shard: the same bits however many workers there are."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn

from equistudy.execution.cluster import Resources, connect_to_ray, fit_resources
from equistudy.execution.runner import check_shared_results
from equistudy.measuring.engine import PairedPass, calibrate_untrained
from equistudy.measuring.measure import MeasuringResult, Subject
from equistudy.running.job import Job, RunConditions
from equistudy.running.network_run import MeasuringTask, NetworkRun
from equistudy.running.stored_network import load_network
from equistudy.training.device import claim_memory
from equistudy.training.subject import build_subject

__all__ = ["MeasuringWorker", "NetworkProgress", "measure_networks", "start_ray_workers"]

MAX_RESTARTS = 3  # how often a worker starts again after its process has died
SHARDS_AHEAD = 3  # shards for each worker that may be done before those in front of them


class NetworkProgress(NamedTuple):
    """How far a network is: how many of its shards and other measures are done."""

    job: Job
    done: int
    total: int


class MeasuringWorker:
    """Does tasks of one network after another: a network and its images stay until a task is about the next."""

    def __init__(self, conditions: RunConditions) -> None:
        torch.set_num_threads(conditions.threads)
        self._conditions = conditions
        self._device = torch.device("cuda" if conditions.use_gpu else "cpu")
        self._job: Job | None = None
        self._untrained: dict[Any, nn.Module] = {}

    def run_task(self, task: MeasuringTask) -> Any:
        """What is kept of a shard, or the rows of a measure that has its own way of looking."""
        subject = self._get_subject(task.job)
        if task.images is None:
            assert task.measure is not None
            return task.measure.measure(subject)
        network = self._get_untrained(task, subject) if task.untrained else subject.network
        return PairedPass(network, subject, task.plans).process_shard(task.images)

    def _get_untrained(self, task: MeasuringTask, subject: Subject) -> nn.Module:
        group = next(iter(task.plans.values())).group
        if group not in self._untrained:
            self._untrained[group] = calibrate_untrained(group, subject)
        return self._untrained[group]

    def _get_subject(self, job: Job) -> Subject:
        if job != self._job:
            claim_memory(self._device, self._conditions.gpu_share)
            network = load_network(job, self._conditions.store, self._device)
            self._subject = build_subject(job.trial, network.eval(), self._device)
            self._job, self._untrained = job, {}
        return self._subject


def measure_networks(
    jobs: Sequence[Job],
    conditions: RunConditions,
    workers: Sequence[Any] = (),
    tell: Callable[[NetworkProgress], None] = lambda advance: None,
    asked: Callable[[], bool] = lambda: False,
) -> dict[str, MeasuringResult]:
    """Measures each job's network, trains nothing, writes the rows, and gives them by trial id.

    With `workers`, Ray actors of `MeasuringWorker`, they do it, otherwise this process. Where `asked` says so it stops
    between two shards; what is done is kept, and the networks that are not finished are not among the results.
    """
    runs: dict[str, NetworkRun] = {}
    done: dict[str, int] = {}
    results: dict[str, MeasuringResult] = {}
    given = {job.trial.id: job for job in jobs}  # a run gives its job a writer; progress is told of the caller's

    def advanced(name: str, tasks: int) -> None:
        done[name] = done.get(name, 0) + tasks
        tell(NetworkProgress(given[name], done[name], runs[name].total))
        if done[name] == runs[name].total:
            results[name] = runs.pop(name).finish()

    def tasks() -> Iterator[MeasuringTask]:
        for job in jobs:
            run = runs[job.trial.id] = NetworkRun(job, conditions)
            left = run.iterate_tasks()
            advanced(job.trial.id, 0)
            yield from left

    try:
        for task, result in _run_on_workers(tasks(), workers) if workers else _run_here(tasks(), conditions):
            runs[task.job.trial.id].add_result(task, result)
            advanced(task.job.trial.id, 1)
            if asked():
                break
    finally:
        for run in runs.values():
            run.save()
    return results


@contextmanager
def start_ray_workers(
    conditions: RunConditions, resources: Resources, address: str | None = None
) -> Iterator[tuple[RunConditions, list[Any]]]:
    """As many workers as fit, at most `max_concurrent`, on the cluster at `address` or on a Ray of this machine.

    The conditions are those of the rows, which this process writes: it names a GPU only if it has one.
    """
    with connect_to_ray(address) as capacity:
        import ray

        chosen = fit_resources(resources, capacity)
        check_shared_results(capacity, conditions.store)
        options = {"num_cpus": chosen.cpus, "num_gpus": chosen.gpus or 0}
        actor = ray.remote(MeasuringWorker).options(**options, max_restarts=MAX_RESTARTS, max_task_retries=MAX_RESTARTS)
        count = chosen.max_concurrent or 1
        there = replace(conditions, use_gpu=bool(chosen.gpus), threads=chosen.threads, workers=count)
        here = replace(there, use_gpu=there.use_gpu and torch.cuda.is_available())
        yield here, [actor.remote(there) for _ in range(count)]


def _run_here(tasks: Iterator[MeasuringTask], conditions: RunConditions) -> Iterator[tuple[MeasuringTask, Any]]:
    """Each task with its result, in this process."""
    worker = MeasuringWorker(conditions)
    return ((task, worker.run_task(task)) for task in tasks)


def _run_on_workers(tasks: Iterator[MeasuringTask], workers: Sequence[Any]) -> Iterator[tuple[MeasuringTask, Any]]:
    """Each task with its result, in the order of the tasks. A worker that is free gets the next one."""
    idle, busy, queue = deque(workers), dict[Any, Any](), deque[tuple[MeasuringTask, Any]]()
    for task in tasks:
        if not idle:
            _release_workers(busy, idle, wait=True)
        worker = idle.popleft()
        reference = worker.run_task.remote(task)
        busy[reference] = worker
        queue.append((task, reference))
        _release_workers(busy, idle, wait=False)
        while queue and (queue[0][1] not in busy or len(queue) >= SHARDS_AHEAD * len(workers)):
            first, reference = queue.popleft()
            yield first, _get_result(reference)
    for task, reference in queue:
        yield task, _get_result(reference)


def _release_workers(busy: dict[Any, Any], idle: deque[Any], wait: bool) -> None:
    """Moves the workers whose tasks are done from the busy to the idle ones; with `wait` at least one."""
    import ray

    ready, _ = ray.wait(list(busy), num_returns=1 if wait else len(busy), timeout=None if wait else 0)
    idle.extend(busy.pop(reference) for reference in ready)


def _get_result(reference: Any) -> Any:
    """What a worker found. Its error is raised as if it had happened here."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
