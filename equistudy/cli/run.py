"""What the commands do that write: run what is missing, report, compact."""

import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from equistudy.cli.display import Display, duration
from equistudy.cli.errors import Exit
from equistudy.cli.status import found_results, planned, read
from equistudy.cli.study_reference import Asked
from equistudy.cli.tables import counted, counts_of, impossible_lines
from equistudy.execution.job_source import Listed, Sampled, Source
from equistudy.results.results import results
from equistudy.results.store import Store
from equistudy.running.plan import Plan, State
from equistudy.study.file import LoadedStudy
from equistudy.study.search import Search

__all__ = ["Ended", "compacted", "reported", "run_and_report"]


class Ended(NamedTuple):
    """How `run` ended: what is printed, as lines or as a record, and the exit code."""

    lines: list[str]
    record: dict[str, Any]
    code: Exit


def run_and_report(asked: Asked, retry: tuple[str, ...] | None, where: dict[str, Any], resume: str) -> Ended:
    """Runs what is missing, then tests the claims and writes the report. `resume` is the command that goes on."""
    from equistudy.execution.cluster import Resources, Site, prepare

    resources = Resources(
        where["cpus_per_trial"],
        where["gpus_per_trial"],
        where["workers_per_trial"],
        where["max_concurrent"],
        60 * where["hang_minutes"],
        where["pack"],
    )
    site = Site(where["address"], where["num_cpus"], where["cluster"])
    prepare(site.address)
    began = time.perf_counter()
    loaded = read(asked)
    known, made = planned(loaded, asked.folder)
    source = _source(known, made, retry, asked.folder)
    # FORCE_COLOR colours a log, but does not make it a screen
    console = Console(stderr=True, force_interactive=None if sys.stderr.isatty() else False, highlight=False)
    _say(console, loaded.study.question, _standing(made), *impossible_lines(made))
    _check_models(source)
    store = Store.open(asked.folder, create=True)  # also where nothing can run: a report says so
    failed = 0
    while source.total:
        _say(console, *_warnings(source))
        expected = _expected(source, made)
        _say(console, f"Joining Ray at {where['address']}" if where["address"] else "Starting Ray on this machine")
        with Display(console, resume, expected) as display:
            from equistudy.execution.runner import run_study
            from equistudy.running.circuit_breaker import SAME, Breaker

            breaker = Breaker(0 if where["keep_going"] else SAME)
            outcome = run_study(known, source, store, resources, display, site, breaker)
        if outcome.interrupted:
            return _stopped(console, planned(loaded, asked.folder)[1], began, resume)
        if outcome.broken:
            return _broken(console, planned(loaded, asked.folder)[1], asked, outcome.broken)
        failed += outcome.failed
        if isinstance(source, Listed):
            break
        known, made = planned(loaded, asked.folder)
        source = Listed(tuple(made.jobs()))  # what a search has drawn may ask for its confirmation
    return _finished(console, loaded, asked, began, failed)


def _stopped(console: Console, made: Plan, began: float, resume: str) -> Ended:
    _say(console, f"Stopped after {duration(time.perf_counter() - began)}. {_standing(made)}")
    record = {"interrupted": True, "resume": resume, "trials": counts_of(made)}
    return Ended([], record, Exit.INTERRUPTED)


def _broken(console: Console, made: Plan, asked: Asked, why: str) -> Ended:
    """No report: of what failed from the start there is nothing to say."""
    again = f"Once it is mended: {asked.command('retry')}"
    _say(console, why, _standing(made), f"Why trials failed: {asked.command('status')}", again)
    return Ended([], {"interrupted": False, "stopped": why, "trials": counts_of(made)}, Exit.FAILED_TRIALS)


def _finished(console: Console, loaded: LoadedStudy, asked: Asked, began: float, failed: int) -> Ended:
    known, made = planned(loaded, asked.folder)
    counts = made.counts
    nothing = counts[State.FAILED] and not counts[State.DONE] + counts[State.UNMEASURED] + counts[State.STOPPED]
    page, verdicts = (None, []) if nothing else _report(known, asked)  # of failures alone there is nothing to draw
    _say(console, f"{_standing(made)} in {duration(time.perf_counter() - began)}")
    missing = counts[State.MISSING] + counts[State.UNMEASURED]
    if counts[State.FAILED]:
        _say(console, f"Why trials failed: {asked.command('status')}", f"Run them again: {asked.command('retry')}")
    if missing:
        _say(console, f"What is missing could not be stored. Run it again: {asked.command('run')}")
    # of a search, what has failed without a row is not missed by any plan
    code = Exit.FAILED_TRIALS if failed or missing or counts[State.FAILED] else Exit.DONE
    record = {"interrupted": False, "report": page, "verdicts": verdicts, "trials": counts_of(made)}
    return Ended([] if page is None else [*verdicts, f"Report: {page}"], record, code)


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)


def _standing(made: Plan) -> str:
    return counted(counts_of(made))


def _source(known: LoadedStudy, made: Plan, retry: tuple[str, ...] | None, folder: str) -> Source:
    """What is to run: the jobs of the plan, or those that a search still draws."""
    jobs, design = made.jobs(retry), known.study.design
    if jobs or not isinstance(design, Search) or design.over:
        return Listed(tuple(jobs))
    found = found_results(folder)
    finished, histories = (found.scores(), found.histories(design.score)) if found else ({}, {})
    return Sampled(design, known.study.measures, finished, histories)


def _check_models(source: Source) -> None:
    """Finds what no network can be built from before Ray starts."""
    for model in {job.trial.model for job in source.jobs} if isinstance(source, Listed) else ():
        model.validate()


def _warnings(source: Source) -> list[str]:
    """What the augmentations have to say before anything is trained with them, each thing once."""
    jobs = source.jobs if isinstance(source, Listed) else ()
    pairs = dict.fromkeys((job.trial.augmentation, job.trial.dataset) for job in jobs if job.trial.recipe.epochs)
    told = [augmentation.warning(dataset) for augmentation, dataset in pairs]
    return [f"Warning: {text}" for text in told if text is not None]


def _expected(source: Source, made: Plan) -> dict[str, float | None]:
    """The seconds that each job will take, where earlier rows tell."""
    ids = {job.trial.id for job in source.jobs} if isinstance(source, Listed) else set()
    return {trial.id: trial.seconds for trial in made.trials if trial.id in ids}


def reported(asked: Asked) -> tuple[str, list[str]]:
    """Writes the report of the results as they are; gives the page's path and the verdicts."""
    known, _ = planned(read(asked), asked.folder)
    return _report(known, asked)


def _report(known: LoadedStudy, asked: Asked) -> tuple[str, list[str]]:
    from equistudy.analysis.table import StudyTable
    from equistudy.report.page import verdict_lines, write_report

    found = results(asked.folder)
    # a page is opened by a browser: remote results have theirs on this machine
    folder = (Path(found.store.url) if found.store.local else Path()) / "reports" / asked.name
    with known.blamed():
        table = StudyTable.of(known.study, found)
        page = write_report(known.study, table, asked.name, asked.command("run"), folder)
        return str(page), verdict_lines(known.study, table)


def compacted(folder: str) -> str:
    """Rewrites small files into few, and says how many."""
    from equistudy.results.compaction import compact

    return str(compact(Store.open(folder, create=False)))
