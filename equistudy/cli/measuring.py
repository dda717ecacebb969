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

from equistudy.cli.display import format_duration
from equistudy.cli.errors import ExitCode
from equistudy.cli.groups import Room, parse_groups
from equistudy.cli.new_trial import ImageWords, build_new_trial, prefer_average
from equistudy.cli.status import load_requested_study, plan_study
from equistudy.cli.study_reference import StudyReference
from equistudy.cli.tables import align_rows
from equistudy.cli.target import is_trial, parse_measures, parse_model, rebuild_trial
from equistudy.datasets.photographs import DatasetNote
from equistudy.groups.translation import Border
from equistudy.measuring.measure import Measure, Skipped
from equistudy.results import results
from equistudy.results.reader import open_existing
from equistudy.results.store import Store
from equistudy.running.job import Job
from equistudy.study.trial import Trial

__all__ = ["MeasuringRequest", "measure_target"]

STUDY_NAME = "measure"  # the study of the networks that the command measures
FEW_IMAGES = 64
MAX_WORKERS = 64  # on one machine, unless --workers says so
PROGRESS_SECONDS = 10.0  # how often progress is told where there is no screen
REFERENCE_COLUMNS = {"shuffled": "floor", "untrained": "untrained"}  # columns of the printed tables, and of the rows
MORE_IMAGES = "--csv and --json print every element with its interval"


class MeasuringRequest(NamedTuple):
    """The words of the command."""

    target: str
    model: str | None
    stages: str | None
    data: str | None
    images: int | None
    size: int | None
    room: int | None
    mean: str | None
    std: str | None
    classes: str | None
    ema: bool | None
    border: str | None
    groups: tuple[str, ...]
    measures: tuple[str, ...]
    bf16: bool
    plot: Path | None
    results: str
    study: Path | None
    scale: str | None


class MeasuringReport(NamedTuple):
    """What there is to say in the end: rows in the order of the measures, why others are absent, and how it ended."""

    trial: Trial
    measures: tuple[Measure, ...]
    rows: Any
    skipped: list[Skipped]
    code: ExitCode

    def build_record(self) -> dict[str, Any]:
        """All of it as plain data."""
        skipped = [absent._asdict() for absent in self.skipped]
        return {"trial": self.trial.id, "rows": self.rows.to_dicts(), "skipped": skipped}

    def format_lines(self) -> list[str]:
        """A block for each measure and group: stages down, sizes of the elements across."""
        from equistudy.report.measured import average_by_magnitude

        if self.code is ExitCode.INTERRUPTED:
            return []
        lines = []
        for measure in self.measures:
            rows = self.rows.filter(self.rows["measure_id"] == measure.id)
            if len(rows):
                group = getattr(measure, "group", None)
                lines += [measure.title if group is None else f"{measure.title}, {group}"]
                unit = "" if group is None else group.unit
                lines += [
                    f"  {line}" for line in align_rows(_build_table(average_by_magnitude(rows).to_dicts(), unit))
                ] + [""]
        starred = self.rows["grid_aligned"].eq(False).any()
        note = ["* cells move by fractions: aliasing and interpolation count too"] if starred else []
        return [*lines, *note, f"{self.trial.id}: {self.trial.model} on {self.trial.dataset}", MORE_IMAGES]


def measure_target(wanted: MeasuringRequest, where: dict[str, Any]) -> MeasuringReport:
    """Measures what the results lack, writes the picture, and gives all rows that were asked for."""
    if wanted.plot is not None:
        from equistudy.report.measured import check_picture

        check_picture(wanted.plot)
    with _print_warnings():
        job, asked = _build_job(wanted)
        store = Store.open(wanted.results, create=True)
        code, skipped = ExitCode.DONE, list[Skipped]()
        if job.measures:
            code, skipped = _run_measuring(job, store, where)
    names, ids = {measure.name for measure in asked}, [measure.id for measure in asked]
    found = results(wanted.results)
    rows = found.measurements.filter(trial=job.trial.id).collect()
    rows = rows.filter(rows["measure_id"].is_in(ids))
    rows = rows[sorted(range(len(rows)), key=lambda row: ids.index(rows["measure_id"][row]))]
    skipped = list(dict.fromkeys(_load_skipped(found, job.trial.id, names) + skipped))
    for line in [f"not measured: {absent}" for absent in _fold_skipped(skipped)] + _collect_caveats(
        rows["note"].to_list()
    ):
        click.echo(line, err=True)
    if wanted.plot is not None and code is ExitCode.DONE:
        from equistudy.report.measured import write_picture

        write_picture(rows, asked, wanted.plot)
        click.echo(f"Picture: {wanted.plot}", err=True)
    return MeasuringReport(job.trial, asked, rows, skipped, code)


def _build_job(wanted: MeasuringRequest) -> tuple[Job, tuple[Measure, ...]]:
    """The job that measures what the results lack, and all measures that were asked for."""
    if is_trial(wanted.target):
        for name in ("model", "stages", "images", "size", "room", "mean", "std", "ema"):
            if getattr(wanted, name) is not None:
                raise ValueError(
                    f"A trial is always measured on its own test images, got --{name} for {wanted.target}. "
                    f"Leave --{name} out."
                )
        trial = _find_stored_trial(wanted)
        groups = parse_groups(wanted.groups or ("translation", "rotation"), Room(), _parse_border(wanted), _tell)
        measures = parse_measures(wanted.measures, groups, wanted.bf16)
    else:
        trial, measures = _build_new_trial(wanted)
    known = open_existing(wanted.results)
    row = None if known is None else next((row for row in known.list_finished() if row["trial"] == trial.id), None)
    done = set() if known is None else known.list_measured()
    lacking = tuple(measure for measure in measures if (trial.id, measure.id) not in done)
    job = Job(trial, {"network": wanted.target}, lacking)
    if row is not None and row["status"] == "done":
        known_as = {"attempt": row["attempt"], "weights": row["weights"], "writer": row["writer"]}
        job = dataclasses.replace(job, built=row["weights"] is None, **known_as)
    elif row is not None:
        job = dataclasses.replace(job, attempt=row["attempt"] + 1, measures=measures)
    return job.with_absolute_paths(), measures


def _build_new_trial(wanted: MeasuringRequest) -> tuple[Trial, tuple[Measure, ...]]:
    """A network that is taken as it is, on images that are made or read for it."""
    stages = tuple(filter(None, (wanted.stages or "").split(",")))
    model = prefer_average(parse_model(wanted.target, wanted.model, wanted.size, stages), wanted.ema, _tell)
    model.validate()  # before Ray is started for it
    labelled = any("accuracy" in name for name in wanted.measures)
    words = ImageWords(wanted.data, wanted.images, wanted.room, wanted.mean, wanted.std, wanted.classes)
    made = build_new_trial(model, words, labelled, _tell)
    chosen: list[str] = []
    groups = parse_groups(wanted.groups, made.room, _parse_border(wanted), chosen.append)
    measures = parse_measures(wanted.measures, groups, wanted.bf16)
    for line in dict.fromkeys(chosen) if any(hasattr(measure, "group") for measure in measures) else ():
        _tell(line)
    return made.trial, measures


def _parse_border(wanted: MeasuringRequest) -> Border | None:
    return None if wanted.border is None else Border(wanted.border)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _find_stored_trial(wanted: MeasuringRequest) -> Trial:
    """The trial whose id the target begins: from the study, or from its columns."""
    known = results(wanted.results)
    rows = {row["trial"]: row for row in known.list_finished() if row["trial"].startswith(wanted.target)}
    if len(rows) != 1:
        found = f"is ambiguous: {len(rows)} trials match" if rows else "matches no finished trial"
        raise ValueError(f"Trial id {wanted.target!r} {found} in {wanted.results}. `results` lists them.")
    ((name, row),) = rows.items()
    if row["status"] != "done":
        raise ValueError(
            f"Only finished trials can be measured, got {name}, which failed: {row['reason']}. Run it again with retry."
        )
    if wanted.study is not None:
        _, made = plan_study(
            load_requested_study(StudyReference(wanted.study, wanted.scale, wanted.results)), wanted.results
        )
        for trial in made.trials:
            if trial.id == name:
                return trial.trial
        raise ValueError(f"{wanted.study} has no trial {name}. Check --study and --scale.")
    return rebuild_trial(known.find_identities(name)[name], wanted.data, wanted.classes)


def _run_measuring(job: Job, store: Store, where: dict[str, Any]) -> tuple[ExitCode, list[Skipped]]:
    """Measures on this process or on Ray's workers."""
    from equistudy.execution.cluster import Resources
    from equistudy.execution.measuring import measure_networks, start_ray_workers
    from equistudy.execution.ray_environment import prepare_ray_environment
    from equistudy.execution.runner import handle_interrupts
    from equistudy.running.job import RunConditions, collect_provenance

    progress = MeasuringProgress()
    conditions = RunConditions(STUDY_NAME, store, collect_provenance(Path(__file__)))
    workers = where["workers"] or (None if where["address"] else min(os.cpu_count() or 1, _choose_num_workers(job)))
    with handle_interrupts(progress.report_stopping) as asked:
        if workers == 1 and not where["address"]:
            found = measure_networks([job], conditions, tell=progress.report_advance, asked=asked)
        else:
            prepare_ray_environment(where["address"])
            resources = Resources(max_concurrent=workers)
            with start_ray_workers(conditions, resources, where["address"]) as (there, actors):
                found = measure_networks([job], there, actors, progress.report_advance, asked)
    if job.trial.id not in found:
        click.echo("Stopped; run the same command to resume.", err=True)
        return ExitCode.INTERRUPTED, []
    return ExitCode.DONE, found[job.trial.id].skipped


def _choose_num_workers(job: Job) -> int:
    """As many as have something to do; Ray takes seconds to start, so one where there are two shards or fewer."""
    images = getattr(job.trial.dataset, "test_images", None) or getattr(job.trial.dataset, "test_size", None)
    return 1 if images is not None and images <= FEW_IMAGES else MAX_WORKERS


class MeasuringProgress:
    """Tells on stderr how far measuring is: in one line that changes on a screen, else every ten seconds."""

    def __init__(self) -> None:
        self._began = self._told = time.perf_counter()

    def report_advance(self, advance: Any) -> None:
        """Some shards are done."""
        now, screen = time.perf_counter(), sys.stderr.isatty()
        if not screen and now - self._told < PROGRESS_SECONDS and advance.done:
            return
        self._told = now
        left = (now - self._began) * (advance.total - advance.done) / advance.done if advance.done else 0
        told = "" if not left else f", about {format_duration(left)} left"
        name = advance.job.levels.get("network", advance.job.trial.id)
        line = f"measuring {name}: {advance.done} of {advance.total} shards{told}"
        click.echo(f"\r{line:<79}" if screen else line, err=True, nl=not screen or advance.done == advance.total)

    def report_start(self, total: int, concurrent: int, packed: int = 1) -> None:
        """Nothing: the first shard tells."""

    def report_progress(self, progress: Any) -> None:
        """Nothing: shards tell."""

    def report_stopping(self) -> None:
        """The user asked to stop."""
        click.echo("\nStopping after this shard; finished shards are kept.", err=True)


@contextmanager
def _print_warnings() -> Iterator[None]:
    """Prints each warning in one line, such as that images cannot be read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DatasetNote)
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        click.echo(message, err=True)


def _build_table(rows: list[dict[str, Any]], unit: str) -> list[dict[str, Any]]:
    """A row for each stage, a column for each size of the elements, then the references of the largest size."""
    table: dict[str, dict[str, Any]] = {}
    largest = max((row["magnitude"] for row in rows), default=0)
    for row in rows:
        line = table.setdefault(row["stage"], {"stage": row["stage"], "stride": row["stride"]})
        error = "" if row["error"] is None else f" ±{row['error']:.3f}"
        star = "*" if row["grid_aligned"] is False else ""
        line[f"{row['magnitude']:.4g} {unit}" if row["magnitude"] else "value"] = f"{row['value']:.3f}{star}{error}"
        if row["magnitude"] == largest:
            line |= {name: f"{row[it]:.3f}" for name, it in REFERENCE_COLUMNS.items() if row[it] is not None}
    columns = list(dict.fromkeys(name for line in table.values() for name in line if name not in REFERENCE_COLUMNS))
    used = [name for name in REFERENCE_COLUMNS if any(line.get(name) is not None for line in table.values())]
    titles = {name: f"{name} ({largest:.4g} {unit})" if largest else name for name in used}
    return [
        {name: line.get(name) for name in columns} | {titles[name]: line.get(name) for name in used}
        for line in table.values()
    ]


def _load_skipped(found: Any, trial: str, names: set[str]) -> list[Skipped]:
    """What an earlier command could not measure."""
    texts = found.trials.filter(trial=trial).select("skipped").collect()["skipped"].drop_nulls().to_list()
    absent = [Skipped(**record) for text in texts for record in json.loads(text)]
    return [each for each in absent if each.measure in names]


def _fold_skipped(skipped: list[Skipped]) -> list[str]:
    """What could not be measured, a line for each reason: the stages and elements of a measure together."""
    reasons: dict[tuple[str, str], dict[str, list[str]]] = {}
    for absent in dict.fromkeys(skipped):
        stages = reasons.setdefault((absent.measure, absent.reason), {})
        stages.setdefault(absent.stage, []).extend(filter(None, [absent.element]))
    lines = []
    for (measure, reason), stages in reasons.items():
        by_elements: dict[tuple[str, ...], list[str]] = {}
        for stage, elements in stages.items():
            by_elements.setdefault(tuple(elements), []).append(stage)
        places = (
            f"{', '.join(names)}{f' at {listed}' if (listed := ', '.join(elements)) else ''}"
            for elements, names in by_elements.items()
        )
        lines.append(f"{measure} of {'; '.join(places)}: {reason}")
    return lines


def _collect_caveats(notes: list[str | None]) -> list[str]:
    """Each note of the rows once, with the number of rows that bear it."""
    counted = Counter(part for note in notes if note for part in note.split("; "))
    return [f"note on {number} of {len(notes)} values: {note}" for note, number in counted.items()]
