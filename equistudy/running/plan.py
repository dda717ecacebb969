"""Which trials of a study are done, which are missing, and what the missing ones will cost. No Ray, no torch."""

import html
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from statistics import fmean
from typing import Any, NamedTuple

from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.results.reader import Results
from equistudy.results.schema import TrialRow
from equistudy.running.job import Job
from equistudy.spec import Spec, format_label, to_table_value
from equistudy.study.design import Design, pause_garbage_collection, suggest_names
from equistudy.study.study import Study
from equistudy.study.trial import Trial
from equistudy.training.failures import FailureReason

MAX_SHOWN = 20  # trials of a plan in a notebook

__all__ = ["PlanState", "PlannedTrial", "StudyPlan", "make_plan"]


class PlanState(Enum):
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
    state: PlanState
    reason: str | None
    attempt: int
    seconds: float | None

    def tabulate_levels(self) -> dict[str, Any]:
        """The levels as tables show them: numbers as they are, everything else by its label."""
        return {name: to_table_value(level) for name, level in self.levels.items()}


@dataclass(frozen=True)
class StudyPlan:
    """Every trial of a study once, with its state."""

    trials: tuple[PlannedTrial, ...]
    measures: tuple[Any, ...]
    unmeasured: dict[str, tuple[Any, ...]]
    weights: dict[str, str]
    writers: dict[str, str | None]

    @property
    def counts(self) -> dict[PlanState, int]:
        """How many trials are in each state."""
        counted = Counter(planned.state for planned in self.trials)
        return {state: counted[state] for state in PlanState}

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {state.value}" for state, count in self.counts.items() if count)
        left = [trial for trial in self.trials if trial.state in (PlanState.MISSING, PlanState.UNMEASURED)]
        seconds = self.estimate_seconds(left) if left else 0.0
        cost = "not known before the first trial is done" if seconds is None else f"about {seconds:.0f} trial-seconds"
        return f"{len(self.trials)} trials: {counts or 'none'}. Cost of the rest: {cost}."

    def _repr_html_(self) -> str:
        names = list(self.trials[0].levels) if self.trials else []
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("trial", "state", *names, "seed"))
        rows = [
            (planned.id, planned.state.value, *planned.tabulate_levels().values(), planned.trial.seed)
            for planned in self.trials[:MAX_SHOWN]
        ]
        body = "".join(f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
        more = f"<p>and {len(self.trials) - MAX_SHOWN} more</p>" if len(self.trials) > MAX_SHOWN else ""
        return f"<p>{html.escape(str(self))}</p><table><tr>{head}</tr>{body}</table>{more}"

    def build_jobs(self, retry: Iterable[str] | None = None) -> list[Job]:
        """What is to run: missing trials and missing measures; with `retry`, failed trials of those reasons as well."""
        again = None if retry is None else set(retry)
        jobs: list[Job] = []
        for planned in self.trials:
            levels = planned.tabulate_levels()
            if planned.state is PlanState.MISSING:
                jobs.append(Job(planned.trial, levels, self.measures, planned.attempt))
            elif planned.state is PlanState.UNMEASURED:
                weights = self.weights.get(planned.id)
                lacking = self.unmeasured[planned.id]
                built = not planned.trial.recipe.epochs
                job = Job(planned.trial, levels, lacking, planned.attempt, weights, built=built)
                jobs.append(replace(job, every_measure=self.measures, writer=self.writers.get(planned.id)))
            elif planned.state is PlanState.FAILED and again is not None and (not again or planned.reason in again):
                jobs.append(Job(planned.trial, levels, self.measures, planned.attempt + 1))
        return [job.with_absolute_paths() for job in jobs]

    def estimate_seconds(self, trials: Iterable[PlannedTrial]) -> float | None:
        """Expected trial-seconds: known ones as known, others as the mean; None where nothing is known."""
        rows = list(trials)
        known = [planned.seconds for planned in self.trials if planned.seconds is not None]
        if not known and rows:
            return None
        mean = fmean(known) if known else 0.0
        return sum(mean if planned.seconds is None else planned.seconds for planned in rows)


def check_columns(study: Study) -> None:
    """Raises ValueError for a claim or figure about a column that no trial of the study will have."""
    items: list[tuple[str, object]] = [(f"Claim {number}", claim.test) for number, claim in enumerate(study.claims, 1)]
    items += [(f"Figure {number}", figure) for number, figure in enumerate(study.figures, 1)]
    needed = [(what, column) for what, item in items for column in getattr(item, "columns", ())]
    cells = [cell for _, cell in study.design.identified_cells] if needed else []
    if not cells:
        return
    known = {field.name for field in fields(TrialRow)} | cells[0].trial.build_fields().keys()
    for task in {cell.trial.task for cell in cells}:
        names = task.list_scores()
        if names is None:
            return
        known |= {"train_loss", "test_loss", *(f"test_{name}" for name in names)}
    learned = any(isinstance(cell.trial.augmentation, LearnedAugmentation) for cell in cells)
    for what, column in needed:
        if column not in known and not (learned and column.startswith("train_")):
            raise ValueError(
                f"{what} uses Score({column!r}), which no trial of the study will have. {suggest_names(column, known)}"
            )


def check_factors(design: Design) -> None:
    """Raises ValueError for a factor of several levels that changes no trial: the trial function ignores it."""
    if design.is_adaptive:
        return
    for factor in design.factors:
        ids: dict[tuple[Any, ...], str] = {}
        for name, cell in design.identified_cells:
            others = (cell.seed, *(level for other, level in cell.levels.items() if other != factor.name))
            if ids.setdefault(others, name) != name:
                break
        else:
            if len(ids) < len(design.identified_cells):
                levels = ", ".join(format_label(level) for level in factor.levels[:3])
                raise ValueError(
                    f"A factor must change the trials, got {factor.name!r}, whose levels {levels} give the same ones. "
                    "Use it in the trial function, or take it out of the design."
                )


@pause_garbage_collection()
def make_plan(study: Study, results: Results | None) -> StudyPlan:
    """Joins the design with the results; None where no study has run yet."""
    check_columns(study)
    check_factors(study.design)
    rows = {} if results is None else {row["trial"]: row for row in results.list_finished()}
    measured = set() if results is None else results.list_measured()
    trials: dict[str, PlannedTrial] = {}
    seeds: dict[str, int] = {}
    unmeasured: dict[str, tuple[Any, ...]] = {}
    cell_seconds = defaultdict(list)
    for name, cell in study.design.identified_cells:
        if seeds.setdefault(name, cell.seed) != cell.seed:
            raise ValueError(
                f"The trial function must pass its seed to Trial, got one trial for seeds {seeds[name]} and "
                f"{cell.seed}: {cell.trial}. Pass seed=seed."
            )
        if name in trials:
            continue
        row = rows.get(name)
        reason, attempt, seconds = cell.trial.obstacle, 0, None
        state = PlanState.MISSING if reason is None else PlanState.IMPOSSIBLE
        if row is not None:
            reason, attempt = row["reason"], row["attempt"]
            state = PlanState.DONE if row["status"] == "done" else PlanState.FAILED
            if reason == FailureReason.STOPPED.value:
                # a search may leave it there; any other design needs the whole training
                adaptive = study.design.is_adaptive
                state, attempt = (PlanState.STOPPED, attempt) if adaptive else (PlanState.MISSING, attempt + 1)
            seconds = (row["seconds"] or 0.0) + (row["measuring_seconds"] or 0.0)
            if state is PlanState.DONE:
                cell_seconds[_without_seed(cell.trial)].append(seconds)
                lacking = tuple(measure for measure in study.measures if (name, measure.id) not in measured)
                if lacking:
                    state, unmeasured[name] = PlanState.UNMEASURED, lacking
        trials[name] = PlannedTrial(name, cell.levels, cell.trial, state, reason, attempt, seconds)
    weights = {name: row["weights"] for name, row in rows.items() if row["weights"]}
    if results is not None:
        trials |= _plan_retraining([trials[name] for name in unmeasured], weights, results)
    planned = tuple(_with_estimate(item, cell_seconds) for item in trials.values())
    return StudyPlan(planned, study.measures, unmeasured, weights, {name: row["writer"] for name, row in rows.items()})


def _plan_retraining(
    unmeasured: Sequence[PlannedTrial], weights: Mapping[str, str], results: Results
) -> dict[str, PlannedTrial]:
    """The trials that lack measures and whose trained network is not stored: they must be trained again."""
    trained = [planned for planned in unmeasured if planned.trial.recipe.epochs]
    stored = {f"weights/{name}" for name in results.store.list_names("weights")} if trained else set()
    return {
        planned.id: planned._replace(state=PlanState.MISSING, attempt=planned.attempt + 1)
        for planned in trained
        if weights.get(planned.id) not in stored
    }


def _without_seed(trial: Trial) -> tuple[Spec, ...]:
    """The trial without its seed: replicates cost the same."""
    return (trial.model, trial.dataset, trial.task, trial.augmentation, trial.recipe)


def _with_estimate(planned: PlannedTrial, cell_seconds: dict[tuple[Spec, ...], list[float]]) -> PlannedTrial:
    if planned.seconds is not None or not cell_seconds:
        return planned
    known = cell_seconds.get(_without_seed(planned.trial))
    return planned._replace(seconds=fmean(known)) if known else planned
