"""One network that is measured shard by shard: its passes, their sums as they come in, and the rows at the end.

A pass takes the network over all images under one group; its shards may be computed anywhere. The sums are kept in the
results from time to time, so that a process that dies loses little.
"""

import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import torch

from equistudy.measuring.comparison import ComparisonPlan
from equistudy.measuring.engine import (
    SHARD_SIZE,
    ProbedGeometries,
    build_family_rows,
    create_empty_sums,
    group_into_families,
    plan_measures,
    split_into_shards,
)
from equistudy.measuring.families import PairedMeasure, StatisticKey
from equistudy.measuring.measure import Measure, MeasuringResult
from equistudy.results.schema import TrialStatus
from equistudy.results.store import Store
from equistudy.running.job import Job, RunConditions
from equistudy.running.rows import build_trial_row, format_skipped, write_measuring_result
from equistudy.running.stored_network import load_network
from equistudy.spec import compute_digest
from equistudy.training.failures import FailureReason, classify_error
from equistudy.training.subject import build_subject, compute_trial_digest

__all__ = ["MeasuringTask", "NetworkRun"]

MAX_SAVING_SHARE = 0.05  # how much of the time keeping sums may cost
MIN_SAVING_SECONDS = 10.0  # of measuring; less is measured again sooner than it is read back


class MeasuringTask(NamedTuple):
    """What a worker does at once: one shard of a pass, or without images a measure that has its own way of looking.

    `number` counts the passes of a network, or its other measures. `untrained` asks for the network before training.
    """

    job: Job
    number: int
    images: range | None
    plans: dict[StatisticKey, ComparisonPlan]
    untrained: bool
    measure: Measure | None


class ShardedPass:
    """The sums of a pass over the shards that are done, under a name in the results."""

    def __init__(self, store: Store, name: str, plans: dict[StatisticKey, ComparisonPlan], num_images: int) -> None:
        self.plans, self._store, self._name = plans, store, name
        self._shards = split_into_shards(num_images) if plans else []
        self.sums = create_empty_sums(plans, num_images)
        self.done = 0
        self._saved_at, self._cost = time.perf_counter(), 0.0
        kept = store.read_sealed(name)
        if kept is not None:
            self._load(kept, num_images)

    def _load(self, kept: bytes, num_images: int) -> None:
        """Continues from sums that an earlier process saved; those that do not fit are set aside."""
        try:
            self.done, states = torch.load(io.BytesIO(kept), weights_only=True)
            for sums, state in zip(self.sums.values(), states, strict=True):
                sums.load(state)
        except Exception as error:  # of any kind: whole, but written by another version
            if classify_error(error) is FailureReason.OUT_OF_MEMORY:
                raise
            self._store.set_aside(self._name)
            self.done, self.sums = 0, create_empty_sums(self.plans, num_images)

    @property
    def remaining_shards(self) -> list[range]:
        """The images of each shard that is not done."""
        return self._shards[self.done :]

    def add(self, images: range, parts: dict[StatisticKey, Any]) -> None:
        """Adds the next shard, and keeps the sums if that is worth its cost."""
        for key, part in parts.items():
            self.sums[key].add(images.start, part)
        self.done += 1
        since = time.perf_counter() - self._saved_at
        if since >= MIN_SAVING_SECONDS and self._cost <= MAX_SAVING_SHARE * since:
            self.save()

    def save(self) -> None:
        """Keeps the sums so far."""
        if not self.done:
            return
        began, kept = time.perf_counter(), io.BytesIO()
        torch.save((self.done, [sums.state() for sums in self.sums.values()]), kept)
        self._store.write_sealed(self._name, kept.getvalue())
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - began

    def delete(self) -> None:
        """Deletes what was kept."""
        self._store.delete(self._name)


class NetworkRun:
    """A network under way. The network itself is built here once to see what can be compared at its stages."""

    def __init__(self, job: Job, conditions: RunConditions) -> None:
        job = self.job = job.with_writer()
        self._conditions = conditions
        self._started = datetime.now(UTC)
        device = torch.device("cpu")
        network = load_network(job, conditions.store, device)
        self._parameters = sum(parameter.numel() for parameter in network.parameters())
        self._digest = compute_trial_digest(network)
        self._subject = build_subject(job.trial, network.eval(), device)
        self._families, self._others = group_into_families(job.measures)
        self._found = MeasuringResult([], [])
        self._passes: list[tuple[list[PairedMeasure], bool, ShardedPass]] = []
        known: ProbedGeometries = {}
        for family in self._families:
            plans, skipped = plan_measures(family, self._subject, known)
            self._found.skipped.extend(skipped)
            for untrained in (False, True) if self._subject.untrained is not None else (False,):
                walk = ShardedPass(
                    conditions.store, self._pass_name(family, untrained), plans, len(self._subject.images)
                )
                self._passes.append((family, untrained, walk))
        self.total = len(self._others) + sum(len(walk.remaining_shards) for _, _, walk in self._passes)

    def iterate_tasks(self) -> Iterator[MeasuringTask]:
        """What is left to do, in the order in which `add_result` wants it back."""
        for number, measure in enumerate(self._others):
            yield MeasuringTask(self.job, number, None, {}, False, measure)
        for number, (_, untrained, walk) in enumerate(self._passes):
            for images in walk.remaining_shards:
                yield MeasuringTask(self.job, number, images, walk.plans, untrained, None)

    def add_result(self, task: MeasuringTask, result: Any) -> None:
        """What a worker found."""
        if task.images is None:
            self._add_rows(result)
        else:
            self._passes[task.number][2].add(task.images, result)

    def save(self) -> None:
        """Keeps the sums so far, before the process ends."""
        for _, _, walk in self._passes:
            walk.save()

    def finish(self) -> MeasuringResult:
        """Writes the rows of all measures, and then the trial's if it has none."""
        for family in self._families:
            sums = {untrained: walk.sums for measures, untrained, walk in self._passes if measures is family}
            self._add_rows(build_family_rows(family, sums[False], sums.get(True, {}), self._subject))
        job, store, result = self.job, self._conditions.store, self._found
        seconds = (datetime.now(UTC) - self._started).total_seconds()
        write_measuring_result(job, store, result)
        if not job.has_row:
            values = {"status": TrialStatus.DONE, "epochs": 0, "images_seen": 0, "seconds": 0.0, "scores": "{}"}
            values |= {"parameters": self._parameters, "network_digest": self._digest, "measuring_seconds": seconds}
            values |= {"skipped": format_skipped(result.skipped)}
            store.write_trial(build_trial_row(job, self._conditions, self._started, **values))
        for _, _, walk in self._passes:
            walk.delete()
        return result

    def _add_rows(self, more: MeasuringResult) -> None:
        self._found.rows.extend(more.rows)
        self._found.skipped.extend(more.skipped)

    def _pass_name(self, family: list[PairedMeasure], untrained: bool) -> str:
        """Where the sums of a pass are kept: all that they depend on beside the trial goes into the name."""
        measures = ",".join(sorted(measure.id for measure in family))
        where = "gpu" if self._conditions.use_gpu else f"cpu/{self._conditions.threads}"
        text = f"{measures}|{untrained}|{SHARD_SIZE}|{where}|{torch.__version__}"
        return f"measuring/{self.job.trial.id}.{self.job.attempt}.{compute_digest(text, 'p')}.pt"
