"""What the commands do that write: run what is missing, report, compact."""

import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from equistudy.cli.display import Display, format_duration
from equistudy.cli.errors import ExitCode
from equistudy.cli.options import RunOptions
from equistudy.cli.status import load_requested_study, plan_study
from equistudy.cli.study_reference import StudyReference
from equistudy.cli.tables import count_states, format_counts, format_impossible
from equistudy.execution.cluster import Resources, Site
from equistudy.execution.job_source import JobSource, PlannedJobs, SampledJobs
from equistudy.results import results
from equistudy.results.reader import open_existing
from equistudy.results.store import Store
from equistudy.running.plan import PlanState, StudyPlan
from equistudy.spec import compute_digest
from equistudy.study.file import LoadedStudy
from equistudy.study.search import Search

__all__ = ["CommandResult", "RunRequest", "compact_results", "report_study", "run_and_report"]


class CommandResult(NamedTuple):
    """How `run` ended: what is printed, as lines or as a record, and the exit code."""

    lines: list[str]
    record: dict[str, Any]
    code: ExitCode


class RunRequest(NamedTuple):
    """A study, which of its failures run again (None: none, empty: all), where, and the command that goes on."""

    asked: StudyReference
    retry: tuple[str, ...] | None
    options: RunOptions
    resume: str


@dataclass(frozen=True)
class StudyRunner:
    """One run of a study from the command line; every line of it goes to the console on stderr."""

    request: RunRequest
    loaded: LoadedStudy
    resources: Resources
    store: Store
    console: Console
    began: float

    def run(self, known: LoadedStudy, made: StudyPlan, source: JobSource) -> CommandResult:
        """Runs what the source has, then tests the claims and writes the report."""
        if self.request.options.in_process:
            return self.finish(self.run_here(known, source))
        return self.run_on_ray(known, made, source)

    def run_here(self, known: LoadedStudy, source: JobSource) -> int:
        """Runs the jobs in this process, one after another; gives how many failed."""
        from equistudy.session import run_jobs_here

        if source.is_adaptive:
            raise ValueError(
                "A search draws its trials by Ray Tune, which does not run in this process, got --in-process. "
                "Leave the option out."
            )
        keep_going = self.request.options.keep_going
        return run_jobs_here(source.jobs, known.name, known.path, self.store, self.tell, keep_going=keep_going)

    def run_on_ray(self, known: LoadedStudy, made: StudyPlan, source: JobSource) -> CommandResult:
        """Runs the jobs on Ray, and after the draws of a search the confirmation of its best."""
        options, failed = self.request.options, 0
        site = Site(options.address, options.num_cpus, options.cluster)
        while source.total:
            self.tell(*_collect_warnings(source))
            self.tell(f"Joining Ray at {options.address}" if options.address else "Starting Ray on this machine")
            with Display(self.console, self.request.resume, _find_expected_seconds(source, made)) as display:
                from equistudy.execution.runner import run_study
                from equistudy.running.circuit_breaker import MAX_IDENTICAL_FAILURES, CircuitBreaker

                breaker = CircuitBreaker(0 if options.keep_going else MAX_IDENTICAL_FAILURES)
                outcome = run_study(known, source, self.store, self.resources, display, site, breaker)
            if outcome.interrupted:
                return self.finish_interrupted()
            if outcome.broken:
                return self.finish_stopped(outcome.broken)
            failed += outcome.failed
            if not source.is_adaptive:
                break
            known, made = self.plan()
            source = PlannedJobs(tuple(made.build_jobs()))
        return self.finish(failed)

    def plan(self) -> tuple[LoadedStudy, StudyPlan]:
        """Where each trial stands now; the trials themselves are built once."""
        return plan_study(self.loaded, self.request.asked.folder)

    def tell(self, *lines: str) -> None:
        """Prints lines as they are."""
        _print_lines(self.console, *lines)

    def finish_interrupted(self) -> CommandResult:
        """After Ctrl-C: what is done so far, and the command that goes on."""
        made = self.plan()[1]
        self.tell(f"Stopped after {self._format_elapsed()}. {_format_state_counts(made)}")
        record = {"interrupted": True, "resume": self.request.resume, "trials": count_states(made)}
        return CommandResult([], record, ExitCode.INTERRUPTED)

    def finish_stopped(self, why: str) -> CommandResult:
        """After a run that stopped itself: no report, for of what failed from the start there is nothing to say."""
        record: dict[str, Any] = {"interrupted": False, "stopped": why}
        try:
            made = self.plan()[1]
        except (ValueError, OSError):  # the results themselves are lost, which is why
            self.tell(why)
            return CommandResult([], record, ExitCode.FAILED_TRIALS)
        asked = self.request.asked
        self.tell(why, _format_state_counts(made), f"Why trials failed: {asked.format_command('status')}")
        self.tell(f"Once that is fixed: {asked.format_command('retry')}")
        return CommandResult([], record | {"trials": count_states(made)}, ExitCode.FAILED_TRIALS)

    def finish(self, failed: int) -> CommandResult:
        """The verdicts and the report, unless every trial failed; `failed` counts those of this run."""
        (known, made), asked = self.plan(), self.request.asked
        counts = made.counts
        found = counts[PlanState.DONE] + counts[PlanState.UNMEASURED] + counts[PlanState.STOPPED]
        # of failures alone there is nothing to draw
        page, verdicts = (None, []) if counts[PlanState.FAILED] and not found else _write_study_report(known, asked)
        self.tell(f"{_format_state_counts(made)} in {self._format_elapsed()}")
        missing = counts[PlanState.MISSING] + counts[PlanState.UNMEASURED]
        if counts[PlanState.FAILED]:
            self.tell(f"Why trials failed: {asked.format_command('status')}")
            self.tell(f"Run them again: {asked.format_command('retry')}")
        if missing:
            self.tell(f"What is missing could not be stored. Run it again: {asked.format_command('run')}")
        # of a search, what has failed without a row is not missed by any plan
        code = ExitCode.FAILED_TRIALS if failed or missing or counts[PlanState.FAILED] else ExitCode.DONE
        record = {"interrupted": False, "report": page, "verdicts": verdicts, "trials": count_states(made)}
        return CommandResult([] if page is None else [*verdicts, f"Report: {page}"], record, code)

    def _format_elapsed(self) -> str:
        return format_duration(time.perf_counter() - self.began)


def run_and_report(request: RunRequest) -> CommandResult:
    """Runs what is missing, then tests the claims and writes the report."""
    from equistudy.execution.ray_environment import prepare_ray_environment

    began = time.perf_counter()
    resources = request.options.build_resources(hang_seconds=60 * request.options.hang_minutes)
    prepare_ray_environment(request.options.address)
    loaded = load_requested_study(request.asked)
    known, made = plan_study(loaded, request.asked.folder)
    source = _build_job_source(known, made, request.retry, request.asked.folder)
    # FORCE_COLOR colours a log, but does not make it a screen
    console = Console(stderr=True, force_interactive=None if sys.stderr.isatty() else False, highlight=False)
    _print_lines(console, loaded.study.question, _format_state_counts(made), *format_impossible(made))
    _print_lines(console, *_describe_empty_retry(made, request.retry))
    for model in {job.trial.model for job in source.jobs}:
        model.validate()  # finds what no network can be built from before Ray starts
    store = Store.open(request.asked.folder, create=True)  # also where nothing can run: a report says so
    return StudyRunner(request, loaded, resources, store, console, began).run(known, made, source)


def _describe_empty_retry(made: StudyPlan, retry: tuple[str, ...] | None) -> list[str]:
    """A line where a retry finds no failed trial to run again; none otherwise."""
    failed = Counter(trial.reason for trial in made.trials if trial.state is PlanState.FAILED)
    if retry is None or (failed and not retry) or not failed.keys().isdisjoint(retry):
        return []
    if not failed:
        return ["Nothing to retry: no trial has failed."]
    reasons = ", ".join(f"{reason} ({count})" for reason, count in failed.most_common())
    return [f"Nothing to retry: no trial failed for the reason {' or '.join(retry)}. Reasons of failures: {reasons}."]


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


def _collect_warnings(source: JobSource) -> list[str]:
    """What the augmentations have to say before anything is trained with them, each thing once."""
    trials = [job.trial for job in source.jobs if job.trial.recipe.epochs]
    cases = dict.fromkeys((t.augmentation, t.dataset, t.recipe.label_smoothing, t.task) for t in trials)
    risks = [
        augmentation.describe_risk(dataset, label_smoothing, task.squared_error_scale(dataset))
        for augmentation, dataset, label_smoothing, task in cases
    ]
    return [f"Warning: {text}" for text in dict.fromkeys(risks) if text is not None]


def _find_expected_seconds(source: JobSource, made: StudyPlan) -> dict[str, float | None]:
    """The seconds that each job will take, where earlier rows tell."""
    ids = {job.trial.id for job in source.jobs}
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
