"""What the commands do that write: run what is missing, report, compact."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from equistudy.cli.display import Display, format_duration
from equistudy.cli.errors import ExitCode
from equistudy.cli.status import load_requested_study, plan_study
from equistudy.cli.study_reference import StudyReference
from equistudy.cli.tables import count_states, format_counts, format_impossible
from equistudy.execution.job_source import JobSource, PlannedJobs, SampledJobs
from equistudy.results import results
from equistudy.results.reader import open_existing
from equistudy.results.store import Store
from equistudy.running.plan import PlanState, StudyPlan
from equistudy.spec import compute_digest
from equistudy.study.file import LoadedStudy
from equistudy.study.search import Search

__all__ = ["CommandResult", "compact_results", "report_study", "run_and_report"]


class CommandResult(NamedTuple):
    """How `run` ended: what is printed, as lines or as a record, and the exit code."""

    lines: list[str]
    record: dict[str, Any]
    code: ExitCode


def run_and_report(
    asked: StudyReference, retry: tuple[str, ...] | None, where: dict[str, Any], resume: str
) -> CommandResult:
    """Runs what is missing, then tests the claims and writes the report. `resume` is the command that goes on."""
    from equistudy.execution.cluster import Resources, Site
    from equistudy.execution.ray_environment import prepare_ray_environment

    resources = Resources(
        where["cpus_per_trial"],
        where["gpus_per_trial"],
        where["workers_per_trial"],
        where["max_concurrent"],
        60 * where["hang_minutes"],
        where["pack"],
    )
    site = Site(where["address"], where["num_cpus"], where["cluster"])
    prepare_ray_environment(site.address)
    began = time.perf_counter()
    loaded = load_requested_study(asked)
    known, made = plan_study(loaded, asked.folder)
    source = _build_job_source(known, made, retry, asked.folder)
    # FORCE_COLOR colours a log, but does not make it a screen
    console = Console(stderr=True, force_interactive=None if sys.stderr.isatty() else False, highlight=False)
    _print_lines(console, loaded.study.question, _format_state_counts(made), *format_impossible(made))
    _check_models(source)
    store = Store.open(asked.folder, create=True)  # also where nothing can run: a report says so
    failed = 0
    if where["in_process"]:
        failed = _run_in_process(known, source, store, console, keep_going=where["keep_going"])
        return _finish_run(console, loaded, asked, began, failed)
    while source.total:
        _print_lines(console, *_collect_warnings(source))
        expected = _find_expected_seconds(source, made)
        _print_lines(
            console, f"Joining Ray at {where['address']}" if where["address"] else "Starting Ray on this machine"
        )
        with Display(console, resume, expected) as display:
            from equistudy.execution.runner import run_study
            from equistudy.running.circuit_breaker import MAX_IDENTICAL_FAILURES, CircuitBreaker

            breaker = CircuitBreaker(0 if where["keep_going"] else MAX_IDENTICAL_FAILURES)
            outcome = run_study(known, source, store, resources, display, site, breaker)
        if outcome.interrupted:
            return _finish_interrupted(console, plan_study(loaded, asked.folder)[1], began, resume)
        if outcome.broken:
            return _finish_stopped(console, loaded, asked, outcome.broken)
        failed += outcome.failed
        if isinstance(source, PlannedJobs):
            break
        known, made = plan_study(loaded, asked.folder)
        source = PlannedJobs(tuple(made.build_jobs()))  # what a search has drawn may ask for its confirmation
    return _finish_run(console, loaded, asked, began, failed)


def _run_in_process(known: LoadedStudy, source: JobSource, store: Store, console: Console, *, keep_going: bool) -> int:
    """Runs the jobs of a plan here, one after another; gives how many failed. An error of a trial has its traceback."""
    from equistudy.session import run_jobs_here

    if not isinstance(source, PlannedJobs):
        raise ValueError(
            "A search draws its trials by Ray Tune, which does not run in this process, got --in-process. "
            "Leave the option out."
        )
    tell = partial(_print_lines, console)
    return run_jobs_here(source.jobs, known.name, known.path, store, tell, keep_going=keep_going)


def _finish_interrupted(console: Console, made: StudyPlan, began: float, resume: str) -> CommandResult:
    _print_lines(console, f"Stopped after {format_duration(time.perf_counter() - began)}. {_format_state_counts(made)}")
    record = {"interrupted": True, "resume": resume, "trials": count_states(made)}
    return CommandResult([], record, ExitCode.INTERRUPTED)


def _finish_stopped(console: Console, loaded: LoadedStudy, asked: StudyReference, why: str) -> CommandResult:
    """No report: of what failed from the start there is nothing to say."""
    try:
        made = plan_study(loaded, asked.folder)[1]
    except (ValueError, OSError):  # the results themselves are lost, which is why
        _print_lines(console, why)
        return CommandResult([], {"interrupted": False, "stopped": why}, ExitCode.FAILED_TRIALS)
    again = f"Once it is mended: {asked.format_command('retry')}"
    _print_lines(
        console, why, _format_state_counts(made), f"Why trials failed: {asked.format_command('status')}", again
    )
    return CommandResult(
        [], {"interrupted": False, "stopped": why, "trials": count_states(made)}, ExitCode.FAILED_TRIALS
    )


def _finish_run(
    console: Console, loaded: LoadedStudy, asked: StudyReference, began: float, failed: int
) -> CommandResult:
    known, made = plan_study(loaded, asked.folder)
    counts = made.counts
    nothing = (
        counts[PlanState.FAILED]
        and not counts[PlanState.DONE] + counts[PlanState.UNMEASURED] + counts[PlanState.STOPPED]
    )
    page, verdicts = (
        (None, []) if nothing else _write_study_report(known, asked)
    )  # of failures alone there is nothing to draw
    _print_lines(console, f"{_format_state_counts(made)} in {format_duration(time.perf_counter() - began)}")
    missing = counts[PlanState.MISSING] + counts[PlanState.UNMEASURED]
    if counts[PlanState.FAILED]:
        _print_lines(
            console,
            f"Why trials failed: {asked.format_command('status')}",
            f"Run them again: {asked.format_command('retry')}",
        )
    if missing:
        _print_lines(console, f"What is missing could not be stored. Run it again: {asked.format_command('run')}")
    # of a search, what has failed without a row is not missed by any plan
    code = ExitCode.FAILED_TRIALS if failed or missing or counts[PlanState.FAILED] else ExitCode.DONE
    record = {"interrupted": False, "report": page, "verdicts": verdicts, "trials": count_states(made)}
    return CommandResult([] if page is None else [*verdicts, f"Report: {page}"], record, code)


def _print_lines(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def _format_state_counts(made: StudyPlan) -> str:
    return format_counts(count_states(made))


def _build_job_source(known: LoadedStudy, made: StudyPlan, retry: tuple[str, ...] | None, folder: str) -> JobSource:
    """What is to run: the jobs of the plan, or those that a search still draws."""
    jobs, design = made.build_jobs(retry), known.study.design
    if jobs or not isinstance(design, Search) or design.is_over:
        return PlannedJobs(tuple(jobs))
    found = open_existing(folder)
    finished, histories = (found.collect_scores(), found.collect_histories(design.score)) if found else ({}, {})
    return SampledJobs(design, known.study.measures, finished, histories)


def _check_models(source: JobSource) -> None:
    """Finds what no network can be built from before Ray starts."""
    for model in {job.trial.model for job in source.jobs} if isinstance(source, PlannedJobs) else ():
        model.validate()


def _collect_warnings(source: JobSource) -> list[str]:
    """What the augmentations have to say before anything is trained with them, each thing once."""
    jobs = source.jobs if isinstance(source, PlannedJobs) else ()
    trials = [job.trial for job in jobs if job.trial.recipe.epochs]
    cases = dict.fromkeys((t.augmentation, t.dataset, t.recipe.label_smoothing, t.task) for t in trials)
    risks = [
        augmentation.describe_risk(dataset, label_smoothing, task.squared_error_scale(dataset))
        for augmentation, dataset, label_smoothing, task in cases
    ]
    return [f"Warning: {text}" for text in dict.fromkeys(risks) if text is not None]


def _find_expected_seconds(source: JobSource, made: StudyPlan) -> dict[str, float | None]:
    """The seconds that each job will take, where earlier rows tell."""
    ids = {job.trial.id for job in source.jobs} if isinstance(source, PlannedJobs) else set()
    return {trial.id: trial.seconds for trial in made.trials if trial.id in ids}


def report_study(asked: StudyReference) -> tuple[str, list[str]]:
    """Writes the report of the results as they are; gives the page's path and the verdicts."""
    known, _ = plan_study(load_requested_study(asked), asked.folder)
    return _write_study_report(known, asked)


def _write_study_report(known: LoadedStudy, asked: StudyReference) -> tuple[str, list[str]]:
    from equistudy.analysis.table import StudyTable
    from equistudy.report.page import format_verdict_lines, write_report

    found = results(asked.folder)
    # a page is opened by a browser: remote results have theirs on this machine
    folder = _claim_report_folder((Path(found.store.url) if found.store.is_local else Path()) / "reports", asked)
    with known.blame_study_code():
        table = StudyTable.from_results(known.study, found)
        page = write_report(known.study, table, asked.name, asked.format_command("run"), folder)
        lines = format_verdict_lines(known.study, table)
        if folder.name != asked.name:
            lines.append(f"Another study file is named {asked.name}: this report is in {folder}.")
        return str(page), lines


def _claim_report_folder(reports: Path, asked: StudyReference) -> Path:
    """The folder of a study's report: its name, with the folder of its file in front if another file has the name.

    `study.txt` in it says which file it is of.
    """
    file = asked.study.resolve()
    for name in (asked.name, f"{file.parent.name}-{asked.name}", f"{compute_digest(str(file), 's')}-{asked.name}"):
        owner = reports / name / "study.txt"
        other = Path(owner.read_text(encoding="utf-8").strip()) if owner.is_file() else file
        if other == file or not other.is_file():  # the study may have moved with its results
            break
    owner.parent.mkdir(parents=True, exist_ok=True)
    owner.write_text(f"{file}\n", encoding="utf-8")
    return owner.parent


def compact_results(folder: str) -> str:
    """Rewrites small files into few, and says how many."""
    from equistudy.results.compaction import compact

    return str(compact(Store.open(folder, create=False)))
