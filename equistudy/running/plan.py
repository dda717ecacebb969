"""Which trials of a study are done, which are missing, and what the missing ones will cost. No Ray, no torch."""

import gc
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from statistics import fmean
from typing import Any, NamedTuple

from equistudy.results.results import Results
from equistudy.running.job import Job
from equistudy.spec import Spec, shown
from equistudy.study.search import Search
from equistudy.study.study import Study
from equistudy.study.trial import Trial
from equistudy.training.failures import Reason

__all__ = ["Plan", "PlannedTrial", "State", "make_plan", "shown"]


class State(Enum):
    """Where a trial of the design stands."""

    DONE = "done"
    FAILED = "failed"
    MISSING = "missing"
    UNMEASURED = "unmeasured"
    STOPPED = "stopped"
    IMPOSSIBLE = "impossible"


class PlannedTrial(NamedTuple):
    """A row of the plan; `seconds` is what it takes, or took, where that is known."""

    id: str
    levels: dict[str, Any]
    trial: Trial
    state: State
    reason: str | None
    attempt: int
    seconds: float | None


@dataclass(frozen=True)
class Plan:
    """Every trial of a study once, with its state."""

    trials: tuple[PlannedTrial, ...]
    measures: tuple[Any, ...]
    unmeasured: dict[str, tuple[Any, ...]]
    weights: dict[str, str]

    @property
    def counts(self) -> dict[State, int]:
        """How many trials are in each state."""
        counted = Counter(planned.state for planned in self.trials)
        return {state: counted[state] for state in State}

    def jobs(self, retry: Iterable[str] | None = None) -> list[Job]:
        """What is to run: missing trials and missing measures; with `retry`, failed trials of those reasons as well."""
        again = None if retry is None else set(retry)
        jobs: list[Job] = []
        for planned in self.trials:
            levels = {name: shown(level) for name, level in planned.levels.items()}
            if planned.state is State.MISSING:
                jobs.append(Job(planned.trial, levels, self.measures, planned.attempt))
            elif planned.state is State.UNMEASURED:
                weights = self.weights.get(planned.id)
                lacking = self.unmeasured[planned.id]
                jobs.append(
                    Job(planned.trial, levels, lacking, planned.attempt, weights, built=not planned.trial.recipe.epochs)
                )
            elif planned.state is State.FAILED and again is not None and (not again or planned.reason in again):
                jobs.append(Job(planned.trial, levels, self.measures, planned.attempt + 1))
        return [job.anchored() for job in jobs]

    def seconds(self, trials: Iterable[PlannedTrial]) -> float | None:
        """Expected trial-seconds: known ones as known, others as the mean; None where nothing is known."""
        rows = list(trials)
        known = [planned.seconds for planned in self.trials if planned.seconds is not None]
        if not known and rows:
            return None
        return sum(planned.seconds if planned.seconds is not None else fmean(known) for planned in rows)


@contextmanager
def _keeping_everything() -> Iterator[None]:
    """No garbage collection: of 100,000 planned trials all are kept, and looking through them takes 0.3 of 2 s."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@_keeping_everything()
def make_plan(study: Study, results: Results | None) -> Plan:
    """Joins the design with the results; None where no study has run yet."""
    rows = {} if results is None else {row["trial"]: row for row in results.finished()}
    measured = set() if results is None else results.measured()
    trials: dict[str, PlannedTrial] = {}
    unmeasured: dict[str, tuple[Any, ...]] = {}
    cell_seconds = defaultdict(list)
    for cell in study.design.cells():
        name = cell.trial.id
        if name in trials:
            continue
        row = rows.get(name)
        reason, attempt, seconds = cell.trial.obstacle, 0, None
        state = State.MISSING if reason is None else State.IMPOSSIBLE
        if row is not None:
            reason, attempt = row["reason"], row["attempt"]
            state = State.DONE if row["status"] == "done" else State.FAILED
            if reason == Reason.STOPPED.value:
                # a search may leave it there; any other design needs the whole training
                adaptive = isinstance(study.design, Search)
                state, attempt = (State.STOPPED, attempt) if adaptive else (State.MISSING, attempt + 1)
            seconds = (row["seconds"] or 0.0) + (row["measuring_seconds"] or 0.0)
            if state is State.DONE:
                cell_seconds[_cell(cell.trial)].append(seconds)
                lacking = tuple(measure for measure in study.measures if (name, measure.id) not in measured)
                if lacking:
                    state, unmeasured[name] = State.UNMEASURED, lacking
        trials[name] = PlannedTrial(name, cell.levels, cell.trial, state, reason, attempt, seconds)
    weights = {name: row["weights"] for name, row in rows.items() if row["weights"]}
    planned = tuple(_estimated(item, cell_seconds) for item in trials.values())
    return Plan(planned, study.measures, unmeasured, weights)


def _cell(trial: Trial) -> tuple[Spec, ...]:
    """The trial without its seed: replicates cost the same."""
    return (trial.model, trial.dataset, trial.task, trial.augmentation, trial.recipe)


def _estimated(planned: PlannedTrial, cell_seconds: dict[tuple[Spec, ...], list[float]]) -> PlannedTrial:
    if planned.seconds is not None or not cell_seconds:
        return planned
    known = cell_seconds.get(_cell(planned.trial))
    return planned._replace(seconds=fmean(known)) if known else planned
