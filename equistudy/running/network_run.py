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

from equistudy.measuring.comparison import Plan
from equistudy.measuring.engine import SHARD_SIZE, Known, families_of, family_rows, no_sums, plans_of, shards
from equistudy.measuring.families import Key, PairedMeasure
from equistudy.measuring.measure import Measure, MeasuringResult
from equistudy.results.schema import Status
from equistudy.results.store import Store
from equistudy.running.job import Conditions, Job
from equistudy.running.rows import skipped_text, trial_row, write_measured
from equistudy.running.trial_run import network_of
from equistudy.spec import digest
from equistudy.training.subject import subject_of

__all__ = ["NetworkRun", "Task"]

SAVING_SHARE = 0.05  # how much of the time keeping sums may cost
WORTH_SECONDS = 10.0  # of measuring; less is measured again sooner than it is read back


class Task(NamedTuple):
    """What a worker does at once: one shard of a pass, or without images a measure that has its own way of looking.

    `number` counts the passes of a network, or its other measures. `untrained` asks for the network before training.
    """

    job: Job
    number: int
    images: range | None
    plans: dict[Key, Plan]
    untrained: bool
    measure: Measure | None


class Pass:
    """The sums of a pass over the shards that are done, under a name in the results."""

    def __init__(self, store: Store, name: str, plans: dict[Key, Plan], num_images: int) -> None:
        self.plans, self._store, self._name = plans, store, name
        self._shards = shards(num_images) if plans else []
        self.sums = no_sums(plans, num_images)
        self.done = 0
        self._saved_at, self._cost = time.perf_counter(), 0.0
        kept = store.read_bytes(name)
        if kept is not None:
            self.done, states = torch.load(io.BytesIO(kept), weights_only=True)
            for sums, state in zip(self.sums.values(), states, strict=True):
                sums.load(state)

    @property
    def left(self) -> list[range]:
        """The images of each shard that is not done."""
        return self._shards[self.done :]

    def add(self, images: range, parts: dict[Key, Any]) -> None:
        """Adds the next shard, and keeps the sums if that is worth its cost."""
        for key, part in parts.items():
            self.sums[key].add(images.start, part)
        self.done += 1
        since = time.perf_counter() - self._saved_at
        if since >= WORTH_SECONDS and self._cost <= SAVING_SHARE * since:
            self.save()

    def save(self) -> None:
        """Keeps the sums so far."""
        if not self.done:
            return
        began, kept = time.perf_counter(), io.BytesIO()
        torch.save((self.done, [sums.state() for sums in self.sums.values()]), kept)
        self._store.write_bytes(self._name, kept.getvalue())
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - began

    def forget(self) -> None:
        """Deletes what was kept."""
        self._store.delete(self._name)


class NetworkRun:
    """A network under way. The network itself is built here once to see what can be compared at its stages."""

    def __init__(self, job: Job, conditions: Conditions) -> None:
        self.job, self._conditions = job, conditions
        self._started = datetime.now(UTC)
        device = torch.device("cpu")
        network = network_of(job, conditions.store, device)
        self._parameters = sum(parameter.numel() for parameter in network.parameters())
        self._subject = subject_of(job.trial, network.eval(), device)
        self._families, self._others = families_of(job.measures)
        self._found = MeasuringResult([], [])
        self._passes: list[tuple[list[PairedMeasure], bool, Pass]] = []
        known: Known = {}
        for family in self._families:
            plans, skipped = plans_of(family, self._subject, known)
            self._found.skipped.extend(skipped)
            for untrained in (False, True) if self._subject.untrained is not None else (False,):
                walk = Pass(conditions.store, self._name(family, untrained), plans, len(self._subject.images))
                self._passes.append((family, untrained, walk))
        self.total = len(self._others) + sum(len(walk.left) for _, _, walk in self._passes)

    def tasks(self) -> Iterator[Task]:
        """What is left to do, in the order in which `take` wants it back."""
        for number, measure in enumerate(self._others):
            yield Task(self.job, number, None, {}, False, measure)
        for number, (_, untrained, walk) in enumerate(self._passes):
            for images in walk.left:
                yield Task(self.job, number, images, walk.plans, untrained, None)

    def take(self, task: Task, result: Any) -> None:
        """What a worker found."""
        if task.images is None:
            self._add(result)
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
            self._add(family_rows(family, sums[False], sums.get(True, {}), self._subject))
        job, store, result = self.job, self._conditions.store, self._found
        seconds = (datetime.now(UTC) - self._started).total_seconds()
        write_measured(job, store, result)
        if not job.finished:
            values = {"status": Status.DONE, "epochs": 0, "images_seen": 0, "seconds": 0.0, "scores": "{}"}
            values |= {"parameters": self._parameters, "measuring_seconds": seconds}
            values |= {"skipped": skipped_text(result.skipped)}
            store.write_trial(trial_row(job, self._conditions, self._started, **values))
        for _, _, walk in self._passes:
            walk.forget()
        return result

    def _add(self, more: MeasuringResult) -> None:
        self._found.rows.extend(more.rows)
        self._found.skipped.extend(more.skipped)

    def _name(self, family: list[PairedMeasure], untrained: bool) -> str:
        """Where the sums of a pass are kept: all that they depend on beside the trial goes into the name."""
        measures = ",".join(sorted(measure.id for measure in family))
        where = "gpu" if self._conditions.use_gpu else f"cpu/{self._conditions.threads}"
        text = f"{measures}|{untrained}|{SHARD_SIZE}|{where}|{torch.__version__}"
        return f"measuring/{self.job.trial.id}.{self.job.attempt}.{digest(text, 'p')}.pt"
