"""What the commands do, as functions that return what is to be told."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from equistudy.command_line.display import Display, duration
from equistudy.execution.plan import Plan, State, make_plan
from equistudy.execution.source import Listed, Sampled, Source
from equistudy.results.results import Results, results
from equistudy.results.store import Store
from equistudy.study.file import LoadedStudy, StudyFileError, load_study
from equistudy.study.search import Search

__all__ = ["Ended", "compacted", "identity", "planned", "reported", "run_and_report", "running", "with_pilot"]

SILENCE_SECONDS = 60.0  # a running trial that has given no sign for so long is taken for dead


class Ended(NamedTuple):
    """How `run` ended: what is printed, and what the exit code depends on."""

    lines: list[str]
    record: dict[str, Any]
    failed: int
    interrupted: bool


def _loaded(path: Path, scale: str | None) -> LoadedStudy:
    loaded = load_study(path)
    return loaded._replace(study=loaded.study.at(scale))


def _found(folder: str) -> Results | None:
    """The results, or None where no study has run yet."""
    try:
        return results(folder)
    except FileNotFoundError:
        return None


def _known(loaded: LoadedStudy, found: Results | None) -> LoadedStudy:
    """The study with what a search has drawn so far."""
    if found is None:
        return loaded
    design = loaded.study.design.known(found.levels(loaded.name))
    return loaded._replace(study=replace(loaded.study, design=design))


def _source(loaded: LoadedStudy, made: Plan, retry: tuple[str, ...] | None, folder: str) -> Source:
    """What is to run: the jobs of the plan, or those that a search still draws."""
    jobs, design = made.jobs(retry), loaded.study.design
    if jobs or not isinstance(design, Search) or len(made.trials) >= design.num_samples:
        return Listed(tuple(jobs))
    found = _found(folder)
    return Sampled(design, loaded.study.measures, found.scores() if found else {})


def _plan(loaded: LoadedStudy, folder: str) -> Plan:
    """The plan; what the study's trial function raises is told with the study's name."""
    found = _found(folder)
    loaded = _known(loaded, found)
    try:
        return make_plan(loaded.study, found)
    except (TypeError, ValueError, AttributeError) as error:
        raise StudyFileError(f"{loaded.path}: {error}") from error


def planned(path: Path, scale: str | None, folder: str) -> tuple[LoadedStudy, Plan]:
    """The study and where its trials stand."""
    loaded = _loaded(path, scale)
    return loaded, _plan(loaded, folder)


def running(folder: str, made: Plan) -> dict[str, dict[str, Any]]:
    """The latest sign of life of each trial of the plan that runs now, in whatever process."""
    try:
        store = Store.open(folder, create=False)
    except FileNotFoundError:
        return {}
    ids = {trial.id for trial in made.trials if trial.state is not State.DONE}
    signs = {}
    for name in store.list("running"):
        text = store.read_bytes(f"running/{name}")
        sign = json.loads(text) if text else {}
        if sign.get("trial") in ids and time.time() - sign["time"] < SILENCE_SECONDS:
            signs[sign["trial"]] = sign
    return signs


def with_pilot(made: Plan) -> Plan:
    """The plan with the cost of each unknown cell measured on a few steps of training."""
    from equistudy.training.pilot import expected_seconds

    known: dict[Any, float] = {}
    rows = []
    for trial in made.trials:
        cell = (trial.trial.model, trial.trial.dataset, trial.trial.augmentation, trial.trial.recipe)
        if trial.seconds is None and cell not in known:
            known[cell] = expected_seconds(trial.trial)
        rows.append(trial if trial.seconds is not None else trial._replace(seconds=known[cell]))
    return Plan(tuple(rows), made.measures, made.unmeasured, made.weights)


def run_and_report(
    path: Path, scale: str | None, folder: str, retry: tuple[str, ...] | None, where: dict[str, Any], resume: str
) -> Ended:
    """Runs what is missing, then tests the claims and writes the report."""
    from equistudy.execution.cluster import Resources, prepare

    prepare(where["address"])
    began = time.perf_counter()
    resources = Resources(
        where["cpus_per_trial"], where["gpus_per_trial"], where["workers_per_trial"], where["max_concurrent"]
    )
    loaded = _loaded(path, scale)
    made = _plan(loaded, folder)
    store = Store.open(folder, create=True)
    source = _source(loaded, made, retry, folder)
    console = Console(stderr=True)
    console.print(f"{loaded.study.question}\n{_standing(made)}", highlight=False, soft_wrap=True)
    interrupted = False
    if source.total:
        from equistudy.execution.runner import run_study

        expected = {}
        if isinstance(source, Listed):
            for model in {job.trial.model for job in source.jobs}:
                model.validate()
            seconds = {trial.id: trial.seconds for trial in made.trials}
            expected = {job.trial.id: seconds[job.trial.id] for job in source.jobs}
        with Display(console, resume, expected) as display:
            outcome = run_study(loaded, source, store, resources, display, where["address"], where["num_cpus"])
        interrupted = outcome.interrupted
    if interrupted:
        return Ended([], {"interrupted": True, "resume": resume}, 0, True)
    page, verdicts = _report(loaded, folder)
    after = _plan(loaded, folder)
    failed = after.counts[State.FAILED]
    console.print(f"{_standing(after)} in {duration(time.perf_counter() - began)}", highlight=False)
    lines = [*verdicts, f"Report: {page}"]
    if failed:
        lines.append(f"{failed} trials failed. Their reasons: equistudy status {path}. Again: equistudy retry {path}")
    counts = {state.value: number for state, number in after.counts.items()}
    return Ended(lines, {"report": str(page), "verdicts": verdicts, "trials": counts}, failed, False)


def _standing(made: Plan) -> str:
    counts = ", ".join(f"{number} {state.value}" for state, number in made.counts.items() if number)
    return f"{len(made.trials)} trials: {counts}"


def reported(path: Path, scale: str | None, folder: str) -> tuple[str, list[str]]:
    """Writes the report of the results as they are."""
    return _report(_loaded(path, scale), folder)


def _report(loaded: LoadedStudy, place: str) -> tuple[str, list[str]]:
    from equistudy.analysis.table import StudyTable
    from equistudy.report.page import verdict_lines, write_report

    store = Store.open(place, create=False)
    loaded = _known(loaded, results(place))
    table = StudyTable.of(loaded.study, results(place))
    command = f"python -m equistudy run {loaded.path}"
    # a page is opened by a browser: remote results have theirs on this machine
    folder = Path(store.url) if store.local else Path()
    page = write_report(loaded.study, table, loaded.name, command, folder / "reports" / loaded.name)
    return str(page), verdict_lines(loaded.study, table)


def identity(trial: str, folder: str, study: Path | None, scale: str | None) -> dict[str, Any]:
    """Everything that went into the id of the one trial that begins with `trial`: from the study, or the results."""
    if study is not None:
        _, made = planned(study, scale, folder)
        known = {item.id: item.trial.columns() for item in made.trials}
        where = str(study)
    else:
        known = _stored_identities(folder)
        where = f"the results in {folder}"
    fitting = [name for name in known if name.startswith(trial)]
    if len(fitting) != 1:
        raise ValueError(
            f"The beginning of one trial's id is needed, got {trial!r}, which fits {len(fitting)} of {len(known)} "
            f"trials of {where}. List them with: equistudy plan STUDY; for trials not yet run add --study STUDY."
        )
    return known[fitting[0]]


def _stored_identities(folder: str) -> dict[str, dict[str, Any]]:
    """The columns of every stored trial that went into its id."""
    rows = results(folder).outcomes.select("trial", "spec", "fingerprint").collect().to_dicts()
    return {
        row["trial"]: {**json.loads(row["spec"]), "fingerprint": row["fingerprint"], "trial": row["trial"]}
        for row in rows
    }


def compacted(folder: str) -> str:
    """Rewrites small files into few, and says how many."""
    from equistudy.results.compaction import compact

    return str(compact(Store.open(folder, create=False)))
