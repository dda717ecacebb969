"""How a study stands: its plan, what it will cost, what runs now, what has failed, and what names its trials."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from equistudy.analysis.table import describe_mixed_architectures
from equistudy.cli.study_reference import PROGRAM, StudyReference
from equistudy.results import results
from equistudy.results.reader import open_existing
from equistudy.results.store import Store
from equistudy.running.heartbeat import is_alive, load_heartbeats
from equistudy.running.job import Job
from equistudy.running.plan import PlannedTrial, PlanState, StudyPlan, make_plan
from equistudy.study.design import suggest_names
from equistudy.study.file import LoadedStudy, StudyFileError, load_study
from equistudy.study.settings import apply_settings, parse_setting
from equistudy.study.trial import Trial

__all__ = [
    "add_pilot_costs",
    "find_identity",
    "format_levels",
    "list_failures",
    "list_mixed_architectures",
    "list_running",
    "load_requested_study",
    "plan_study",
]

MAX_LISTED_TRIALS = 5  # how many trials an ambiguous id is answered with


def load_requested_study(asked: StudyReference) -> LoadedStudy:
    """The study at the scale that was asked for."""
    loaded = load_study(asked.study)
    with loaded.blame_study_code():
        study = apply_settings(
            loaded.study.at_scale(asked.scale),
            [parse_setting(text) for text in asked.settings],
            partial(_find_class, loaded),
        )
        study.design.try_trials()
    # draws of a search with other settings are not its own
    return loaded._replace(study=study, name=asked.name if asked.settings else loaded.name)


def _find_class(loaded: LoadedStudy, name: str) -> Any:
    """What the study's file calls NAME or `eq.NAME`."""
    if hasattr(loaded.module, name):
        return getattr(loaded.module, name)
    words = importlib.import_module("equistudy")  # by name: the words of a study come from every package
    if name not in dir(words):
        near = suggest_names(name, dir(words))
        raise ValueError(f"{loaded.path} and equistudy have no {name!r}, got it in a setting. {near}")
    return getattr(words, name)


def plan_study(loaded: LoadedStudy, folder: str) -> tuple[LoadedStudy, StudyPlan]:
    """The study, with what a search has drawn so far, and where each of its trials stands."""
    found, study = open_existing(folder), loaded.study
    if found is not None:
        with loaded.blame_study_code():
            study = replace(study, design=study.design.with_draws(found, loaded.name))
    with loaded.blame_study_code():
        _check_function(loaded)
        return loaded._replace(study=study), make_plan(study, found)


def _check_function(loaded: LoadedStudy) -> None:
    """A trial function that has forgotten its `return` gives None for every cell: the first one shows it."""
    first = next(iter(loaded.study.design.cells()), None)
    if first is not None and not isinstance(first.trial, Trial):
        raise StudyFileError(
            f"The trial function must return a Trial, got {first.trial!r} in {loaded.path}. Add: return Trial(...)"
        )


def list_running(folder: str, made: StudyPlan) -> list[dict[str, Any]]:
    """The latest heartbeat of each trial of the plan that runs now, in whatever process."""
    try:
        store = Store.open(folder, create=False)
    except FileNotFoundError:
        return []
    ids = {trial.id for trial in made.trials if trial.state is not PlanState.DONE}
    return [sign for sign in load_heartbeats(store) if sign["trial"] in ids and is_alive(sign)]


def list_failures(folder: str, made: StudyPlan) -> list[dict[str, Any]]:
    """Every failed trial of the plan with its levels, reason and message."""
    failed = {trial.id: trial for trial in made.trials if trial.state is PlanState.FAILED}
    if not failed:
        return []
    rows = results(folder).trials.filter(status="failed").select("trial", "message").collect().to_dicts()
    return [
        {
            "trial": row["trial"],
            "levels": format_levels(failed[row["trial"]]),
            "reason": failed[row["trial"]].reason,
            "message": row["message"],
        }
        for row in rows
        if row["trial"] in failed
    ]


def list_mixed_architectures(folder: str, made: StudyPlan) -> list[str]:
    """A sentence for each model of the plan whose networks are not of one architecture."""
    found = open_existing(folder)
    trials = ((trial.id, trial.trial) for trial in made.trials)
    return [] if found is None else describe_mixed_architectures(trials, found.trials.collect())


def format_levels(trial: PlannedTrial) -> str:
    """The levels and the seed of a trial, as progress lines show them."""
    return str(Job(trial.trial, trial.tabulate_levels(), ()))


def add_pilot_costs(made: StudyPlan, tell: Callable[[str], None]) -> StudyPlan:
    """The plan with the cost of each unknown cell measured on a few steps; `tell` hears which cell is next."""
    from equistudy.training.pilot import estimate_trial_seconds

    def cell(trial: Trial) -> Trial:
        return replace(trial, seed=0)  # replicates cost the same

    unknown: dict[Trial, PlannedTrial] = {}
    for trial in made.trials:
        if trial.seconds is None and trial.state is not PlanState.IMPOSSIBLE:
            unknown.setdefault(cell(trial.trial), trial)
    known: dict[Trial, float] = {}
    for number, (key, trial) in enumerate(unknown.items(), 1):
        tell(f"[{number}/{len(unknown)}] pilot of {format_levels(trial)}")
        trial.trial.model.validate()
        try:
            known[key] = estimate_trial_seconds(trial.trial, made.measures)
        except Exception as error:
            raise ValueError(
                f"The pilot trains a few steps of each cell, got {type(error).__name__} for "
                f"{format_levels(trial)}: {error} "
                "Fix that cell, or plan without --pilot."
            ) from error
    rows = [
        trial if trial.seconds is not None else trial._replace(seconds=known.get(cell(trial.trial)))
        for trial in made.trials
    ]
    return StudyPlan(tuple(rows), made.measures, made.unmeasured, made.weights, made.writers)


def find_identity(beginning: str, asked: StudyReference | None, folder: str) -> dict[str, Any]:
    """Everything that went into the id of the one trial that begins so: of the study, or else of the results."""
    if asked is None:
        known, where = results(folder).find_identities(beginning), f"the results in {folder}"
    else:
        _, made = plan_study(load_requested_study(asked), folder)
        known = {item.id: item.trial.build_columns() for item in made.trials if item.id.startswith(beginning)}
        where = str(asked.study)
    if len(known) == 1:
        return next(iter(known.values()))
    names = sorted(known)[:MAX_LISTED_TRIALS]
    if known:
        more = ", ..." if len(known) > MAX_LISTED_TRIALS else ""
        raise ValueError(
            f"Trial id {beginning!r} is ambiguous: {len(known)} trials in {where} match: {', '.join(names)}{more}. "
            "Give more of its characters."
        )
    raise ValueError(
        f"No trial in {where} has an id that starts with {beginning!r}. {PROGRAM} plan STUDY lists the ids of a study, "
        "and --study STUDY looks up trials that have not run yet."
    )
