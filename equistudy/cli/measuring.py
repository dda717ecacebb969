"""What `measure` does: finds what is not measured yet, measures it, and prints what there is."""

import dataclasses
import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from equistudy.cli.display import duration
from equistudy.cli.errors import Exit
from equistudy.cli.status import found_results, planned, read
from equistudy.cli.study_reference import Asked
from equistudy.cli.tables import aligned
from equistudy.cli.target import (
    DEAD_LEAVES,
    check_classes,
    dataset_of,
    groups_of,
    is_trial,
    measures_of,
    model_of,
    random_note,
    rebuilt,
    trial_of,
)
from equistudy.datasets.photographs import CorruptImages
from equistudy.measuring.measure import Measure, Skipped
from equistudy.results.results import results
from equistudy.results.store import Store
from equistudy.running.job import Job
from equistudy.study.trial import Trial

__all__ = ["Wanted", "measured"]

STUDY = "measure"  # the study of the networks that the command measures
FEW_IMAGES = 64
MOST_WORKERS = 64  # on one machine, unless --workers says so
TELL_SECONDS = 10.0  # how often progress is told where there is no screen
REFERENCES = {"shuffled": "floor", "untrained": "untrained"}  # columns of the printed tables, and of the rows
MORE = "--csv and --json print every element with its interval"


class Wanted(NamedTuple):
    """The words of the command."""

    target: str
    model: str | None
    stages: str | None
    data: str | None
    images: int | None
    size: int | None
    groups: tuple[str, ...]
    measures: tuple[str, ...]
    bf16: bool
    plot: Path | None
    results: str
    study: Path | None
    scale: str | None


class Found(NamedTuple):
    """What there is to say in the end: rows in the order of the measures, why others are absent, and how it ended."""

    trial: Trial
    measures: tuple[Measure, ...]
    rows: Any
    skipped: list[Skipped]
    code: Exit

    def record(self) -> dict[str, Any]:
        """All of it as plain data."""
        skipped = [absent._asdict() for absent in self.skipped]
        return {"trial": self.trial.id, "rows": self.rows.to_dicts(), "skipped": skipped}

    def lines(self) -> list[str]:
        """A block for each measure and group: stages down, sizes of the elements across."""
        from equistudy.report.measured import by_magnitude

        if self.code is Exit.INTERRUPTED:
            return []
        lines = []
        for measure in self.measures:
            rows = self.rows.filter(self.rows["measure_id"] == measure.id)
            if len(rows):
                group = getattr(measure, "group", None)
                lines += [measure.title if group is None else f"{measure.title}, {group}"]
                unit = "" if group is None else group.unit
                lines += [f"  {line}" for line in aligned(_table(by_magnitude(rows).to_dicts(), unit))] + [""]
        starred = self.rows["grid_aligned"].eq(False).any()
        note = ["* cells move by fractions: aliasing and interpolation count too"] if starred else []
        return [*lines, *note, f"{self.trial.id}: {self.trial.model} on {self.trial.dataset}", MORE]


def measured(wanted: Wanted, where: dict[str, Any]) -> Found:
    """Measures what the results lack, writes the picture, and gives all rows that were asked for."""
    if wanted.plot is not None:
        from equistudy.report.measured import check_picture

        check_picture(wanted.plot)
    with _noted():
        job, asked = _job(wanted)
        store = Store.open(wanted.results, create=True)
        code, skipped = Exit.DONE, list[Skipped]()
        if job.measures:
            code, skipped = _measure(job, store, where)
    names, ids = {measure.name for measure in asked}, [measure.id for measure in asked]
    found = results(wanted.results)
    rows = found.measurements.filter(trial=job.trial.id).collect()
    rows = rows.filter(rows["measure_id"].is_in(ids))
    rows = rows[sorted(range(len(rows)), key=lambda row: ids.index(rows["measure_id"][row]))]
    skipped = list(dict.fromkeys(_skipped_before(found, job.trial.id, names) + skipped))
    for line in [f"not measured: {absent}" for absent in _folded(skipped)] + _notes(rows["note"].to_list()):
        click.echo(line, err=True)
    if wanted.plot is not None and code is Exit.DONE:
        from equistudy.report.measured import write_picture

        write_picture(rows, asked, wanted.plot)
        click.echo(f"Picture: {wanted.plot}", err=True)
    return Found(job.trial, asked, rows, skipped, code)


def _job(wanted: Wanted) -> tuple[Job, tuple[Measure, ...]]:
    """The job that measures what the results lack, and all measures that were asked for."""
    if is_trial(wanted.target):
        for name in ("model", "stages", "images", "size"):
            if getattr(wanted, name) is not None:
                raise ValueError(
                    f"A trial is measured on its own test images, as it was trained, got --{name} for {wanted.target}. "
                    f"Leave --{name} out."
                )
        trial = _stored(wanted)
        measures = measures_of(
            wanted.measures, groups_of(wanted.groups or ("translation:4", "rotation"), 0), wanted.bf16
        )
    else:
        trial, measures = _new(wanted)
    known = found_results(wanted.results)
    row = None if known is None else next((row for row in known.finished() if row["trial"] == trial.id), None)
    done = set() if known is None else known.measured()
    lacking = tuple(measure for measure in measures if (trial.id, measure.id) not in done)
    job = Job(trial, {"network": wanted.target}, lacking)
    if row is not None and row["status"] == "done":
        job = dataclasses.replace(job, attempt=row["attempt"], weights=row["weights"], built=row["weights"] is None)
    elif row is not None:
        job = dataclasses.replace(job, attempt=row["attempt"] + 1, measures=measures)
    return job.anchored(), measures


def _new(wanted: Wanted) -> tuple[Trial, tuple[Measure, ...]]:
    """A network that is taken as it is, on images that are made or read for it."""
    stages = tuple(filter(None, (wanted.stages or "").split(",")))
    model = model_of(wanted.target, wanted.model, wanted.size, stages)
    model.validate()  # before Ray is started for it
    if (note := random_note(model)) is not None:
        click.echo(note, err=True)
    labelled = any("accuracy" in name for name in wanted.measures)
    dataset = dataset_of(wanted.data or DEAD_LEAVES, wanted.images, model, labelled)
    check_classes(model, dataset)
    preprocessing = model.preprocessing(dataset)
    room = (preprocessing.image_size or 0) - (preprocessing.window or 0)
    return trial_of(model, dataset), measures_of(wanted.measures, groups_of(wanted.groups, room), wanted.bf16)


def _stored(wanted: Wanted) -> Trial:
    """The trial whose id the target begins: from the study, or from its columns."""
    known = results(wanted.results)
    rows = {row["trial"]: row for row in known.finished() if row["trial"].startswith(wanted.target)}
    if len(rows) != 1:
        raise ValueError(
            f"A trial is named by its id or a beginning that no other has, got {wanted.target!r}, which {len(rows)} of "
            f"those in {wanted.results} have. `results` lists them."
        )
    ((name, row),) = rows.items()
    if row["status"] != "done":
        raise ValueError(f"A trial is measured when it is done, got {name}, which failed: {row['reason']}.")
    if wanted.study is not None:
        _, made = planned(read(Asked(wanted.study, wanted.scale, wanted.results)), wanted.results)
        for trial in made.trials:
            if trial.id == name:
                return trial.trial
        raise ValueError(f"{wanted.study} has no trial {name}. Check --study and --scale.")
    return rebuilt(known.identities(name)[name], wanted.data)


def _measure(job: Job, store: Store, where: dict[str, Any]) -> tuple[Exit, list[Skipped]]:
    """Measures on this process or on Ray's workers."""
    from equistudy.execution.cluster import Resources, prepare
    from equistudy.execution.measuring import measure_networks, ray_workers
    from equistudy.execution.runner import interruptible
    from equistudy.running.job import Conditions, provenance

    progress = Progress()
    conditions = Conditions(STUDY, store, provenance(Path(__file__)))
    workers = where["workers"] or (None if where["address"] else min(os.cpu_count() or 1, _most_workers(job)))
    with interruptible(progress.stopping) as asked:
        if workers == 1 and not where["address"]:
            found = measure_networks([job], conditions, tell=progress.advanced, asked=asked)
        else:
            prepare(where["address"])
            resources = Resources(max_concurrent=workers)
            with ray_workers(conditions, resources, where["address"]) as (there, actors):
                found = measure_networks([job], there, actors, progress.advanced, asked)
    if job.trial.id not in found:
        click.echo("Stopped; the same command goes on from here.", err=True)
        return Exit.INTERRUPTED, []
    return Exit.DONE, found[job.trial.id].skipped


def _most_workers(job: Job) -> int:
    """As many as have something to do; Ray takes seconds to start, so one where there are two shards or fewer."""
    images = getattr(job.trial.dataset, "test_images", None) or getattr(job.trial.dataset, "test_size", None)
    return 1 if images is not None and images <= FEW_IMAGES else MOST_WORKERS


class Progress:
    """Tells on stderr how far measuring is: in one line that changes on a screen, else every ten seconds."""

    def __init__(self) -> None:
        self._began = self._told = time.perf_counter()

    def advanced(self, advance: Any) -> None:
        """Some shards are done."""
        now, screen = time.perf_counter(), sys.stderr.isatty()
        if not screen and now - self._told < TELL_SECONDS and advance.done:
            return
        self._told = now
        left = (now - self._began) * (advance.total - advance.done) / advance.done if advance.done else 0
        told = "" if not left else f", about {duration(left)} left"
        name = advance.job.levels.get("network", advance.job.trial.id)
        line = f"measuring {name}: {advance.done} of {advance.total} shards{told}"
        click.echo(f"\r{line:<79}" if screen else line, err=True, nl=not screen or advance.done == advance.total)

    def started(self, total: int, concurrent: int, packed: int = 1) -> None:
        """Nothing: the first shard tells."""

    def progressed(self, progress: Any) -> None:
        """Nothing: shards tell."""

    def stopping(self) -> None:
        """The user asked to stop."""
        click.echo("\nStopping after this shard; what is done is kept.", err=True)


@contextmanager
def _noted() -> Iterator[None]:
    """Images that cannot be read are told in a line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("once", CorruptImages)
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        click.echo(message, err=True)


def _table(rows: list[dict[str, Any]], unit: str) -> list[dict[str, Any]]:
    """A row for each stage, a column for each size of the elements, then the references of the largest."""
    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = table.setdefault(row["stage"], {"stage": row["stage"], "stride": row["stride"]})
        error = "" if row["error"] is None else f" ±{row['error']:.3f}"
        star = "*" if row["grid_aligned"] is False else ""
        line[f"{row['magnitude']:.4g} {unit}" if row["magnitude"] else "value"] = f"{row['value']:.3f}{star}{error}"
        line |= {name: None if row[column] is None else f"{row[column]:.3f}" for name, column in REFERENCES.items()}
    columns = list(dict.fromkeys(name for line in table.values() for name in line if name not in REFERENCES))
    used = [name for name in REFERENCES if any(line.get(name) is not None for line in table.values())]
    return [{name: line.get(name) for name in (*columns, *used)} for line in table.values()]


def _skipped_before(found: Any, trial: str, names: set[str]) -> list[Skipped]:
    """What an earlier command could not measure."""
    texts = found.trials.filter(trial=trial).select("skipped").collect()["skipped"].drop_nulls().to_list()
    absent = [Skipped(**record) for text in texts for record in json.loads(text)]
    return [each for each in absent if each.measure in names]


def _folded(skipped: list[Skipped]) -> list[str]:
    """What could not be measured, elements of one stage with one reason in one line."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for absent in dict.fromkeys(skipped):
        places.setdefault((absent.measure, absent.stage, absent.reason), []).append(absent.element or "")
    return [
        f"{measure} of {stage}{f' at {listed}' if (listed := ', '.join(filter(None, elements))) else ''}: {reason}"
        for (measure, stage, reason), elements in places.items()
    ]


def _notes(notes: list[str | None]) -> list[str]:
    """Each note of the rows once, with the number of rows that bear it."""
    counted = Counter(part for note in notes if note for part in note.split("; "))
    return [f"note on {number} of {len(notes)} values: {note}" for note, number in counted.items()]
