"""How a study stands: its plan, what it will cost, what runs now, what has failed, and what names its trials."""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from equistudy.cli.study_reference import PROGRAM, Asked
from equistudy.results.results import Results, results
from equistudy.results.store import Store
from equistudy.running.job import Job
from equistudy.running.plan import Plan, PlannedTrial, State, make_plan
from equistudy.spec import shown
from equistudy.study.file import LoadedStudy, StudyFileError, load_study
from equistudy.study.search import Search
from equistudy.study.trial import Trial

__all__ = ["failures", "found_results", "identity", "planned", "read", "running", "samples_of", "with_pilot"]

SILENCE_SECONDS = 60.0  # a running trial that has given no sign for so long is taken for dead
NAMED = 5  # how many trials an ambiguous id is answered with


def read(asked: Asked) -> LoadedStudy:
    """The study at the scale that was asked for."""
    loaded = load_study(asked.study)
    with loaded.blamed():
        return loaded._replace(study=loaded.study.at(asked.scale))


def found_results(folder: str) -> Results | None:
    """The results, or None where no study has run yet."""
    try:
        return results(folder)
    except FileNotFoundError:
        return None


def planned(loaded: LoadedStudy, folder: str) -> tuple[LoadedStudy, Plan]:
    """The study, with what a search has drawn so far, and where each of its trials stands."""
    found, study = found_results(folder), loaded.study
    if found is not None and isinstance(study.design, Search):
        with loaded.blamed():
            design = study.design.known(found.levels(loaded.name), found.ends(study.design.score))
        study = replace(study, design=design)
    with loaded.blamed():
        _check_function(loaded)
        return loaded._replace(study=study), make_plan(study, found)


def samples_of(loaded: LoadedStudy) -> int | None:
    """How often a search draws; None for a design whose trials are known."""
    design = loaded.study.design
    return design.num_samples if isinstance(design, Search) else None


def _check_function(loaded: LoadedStudy) -> None:
    """A trial function that has forgotten its `return` gives None for every cell: the first one shows it."""
    first = next(iter(loaded.study.design.cells()), None)
    if first is not None and not isinstance(first.trial, Trial):
        raise StudyFileError(
            f"The trial function returns a Trial, got {first.trial!r} in {loaded.path}. Add: return Trial(...)"
        )


def running(folder: str, made: Plan) -> list[dict[str, Any]]:
    """The latest sign of life of each trial of the plan that runs now, in whatever process."""
    try:
        store = Store.open(folder, create=False)
    except FileNotFoundError:
        return []
    ids = {trial.id for trial in made.trials if trial.state is not State.DONE}
    signs = [_sign(store.read_bytes(f"running/{name}")) for name in store.list("running")]
    return [sign for sign in signs if sign.get("trial") in ids and _alive(sign)]


def _sign(content: bytes | None) -> dict[str, Any]:
    """What a sign of life says; nothing where it was replaced while an object store gave it out."""
    try:
        return dict(json.loads(content or b"{}"))
    except ValueError:
        return {}


def _alive(sign: dict[str, Any]) -> bool:
    """Whether the process that gave a sign of life still runs, as far as can be told from here."""
    here = sign.get("host") == socket.gethostname() and Path("/proc/self").exists()
    if here and not Path(f"/proc/{sign['pid']}").exists():
        return False
    return time.time() - float(sign["time"]) < SILENCE_SECONDS


def failures(folder: str, made: Plan) -> list[dict[str, Any]]:
    """Every failed trial of the plan with its levels, reason and message."""
    failed = {trial.id: trial for trial in made.trials if trial.state is State.FAILED}
    if not failed:
        return []
    rows = results(folder).trials.filter(status="failed").select("trial", "message").collect().to_dicts()
    return [
        {
            "trial": row["trial"],
            "levels": _levels(failed[row["trial"]]),
            "reason": failed[row["trial"]].reason,
            "message": row["message"],
        }
        for row in rows
        if row["trial"] in failed
    ]


def _levels(trial: PlannedTrial) -> str:
    return str(Job(trial.trial, {name: shown(level) for name, level in trial.levels.items()}, ()))


def with_pilot(made: Plan, tell: Callable[[str], None]) -> Plan:
    """The plan with the cost of each unknown cell measured on a few steps; `tell` hears which cell is next."""
    from equistudy.training.pilot import expected_seconds

    def cell(trial: Trial) -> Trial:
        return replace(trial, seed=0)  # replicates cost the same

    unknown: dict[Trial, PlannedTrial] = {}
    for trial in made.trials:
        if trial.seconds is None and trial.state is not State.IMPOSSIBLE:
            unknown.setdefault(cell(trial.trial), trial)
    known: dict[Trial, float] = {}
    for number, (key, trial) in enumerate(unknown.items(), 1):
        tell(f"[{number}/{len(unknown)}] pilot of {_levels(trial)}")
        trial.trial.model.validate()
        try:
            known[key] = expected_seconds(trial.trial, made.measures)
        except Exception as error:
            raise ValueError(
                f"The pilot trains a few steps of each cell, got {type(error).__name__} for {_levels(trial)}: {error} "
                "Mend that cell, or plan without --pilot."
            ) from error
    rows = [
        trial if trial.seconds is not None else trial._replace(seconds=known.get(cell(trial.trial)))
        for trial in made.trials
    ]
    return Plan(tuple(rows), made.measures, made.unmeasured, made.weights)


def identity(beginning: str, asked: Asked | None, folder: str) -> dict[str, Any]:
    """Everything that went into the id of the one trial that begins so: of the study, or else of the results."""
    if asked is None:
        known, where = results(folder).identities(beginning), f"the results in {folder}"
    else:
        _, made = planned(read(asked), folder)
        known = {item.id: item.trial.columns() for item in made.trials if item.id.startswith(beginning)}
        where = str(asked.study)
    if len(known) == 1:
        return next(iter(known.values()))
    names = sorted(known)[:NAMED]
    listed = (
        f"which {len(known)} share: {', '.join(names)}{', ...' if len(known) > NAMED else ''}"
        if known
        else "which none has"
    )
    raise ValueError(
        f"A trial is named by its id or a beginning that no other has, got {beginning!r}, {listed} in {where}. "
        f"{PROGRAM} plan STUDY lists the ids of a study; --study STUDY looks up those that have not run yet."
    )
