"""Exports finished trials as runs of TensorBoard, MLflow and Weights & Biases, without a network."""

import importlib
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import polars as pl

from equistudy.analysis.table import DONE
from equistudy.results.reader import Results

__all__ = ["TRACKERS", "Run", "collect_runs", "write_mlflow", "write_tensorboard", "write_wandb"]

LoggedStep = tuple[int, dict[str, float]]


class Run(NamedTuple):
    """A trial as a run of another tracker: `steps` are epochs with `split/name` values.

    `summary` has the scores, and for each measure and stage the mean over elements as `measure/stage`.
    """

    trial: str
    study: str
    done: bool
    config: dict[str, Any]
    steps: list[LoggedStep]
    summary: dict[str, float]
    started: datetime | None
    finished: datetime | None


def collect_runs(found: Results, trials: Sequence[str] | None = None) -> list[Run]:
    """The trials of the results as runs, including failed ones; all trials, or those with the given ids."""
    rows = found.attempts
    if trials is not None:
        rows = rows.filter(pl.col("trial").is_in(trials))
    curves = _group_by_trial(found.curves.sort("epoch", "split", "name").collect())
    means = found.measurements.group_by("trial", "measure", "stage", maintain_order=True).agg(pl.col("value").mean())
    measured = _group_by_trial(means.collect())
    return [
        _build_run(row, curves.get(row["trial"], []), measured.get(row["trial"], [])) for row in rows.rows(named=True)
    ]


def _group_by_trial(frame: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    parts = frame.group_by("trial", maintain_order=True)
    return {str(trial): part.rows(named=True) for (trial,), part in parts}


def _build_run(row: dict[str, Any], curves: list[dict[str, Any]], measured: list[dict[str, Any]]) -> Run:
    steps: dict[int, dict[str, float]] = {}
    for line in curves:
        if math.isfinite(line["value"]):
            steps.setdefault(line["epoch"], {})[f"{line['split']}/{line['name']}"] = line["value"]
    config = {**json.loads(row["spec"]), **json.loads(row["factors"]), "seed": row["seed"]}
    config |= {name: row[name] for name in ("commit", "hardware", "reason")}
    scores = json.loads(row["scores"] or "{}")
    summary = {**scores, **{f"{line['measure']}/{line['stage']}": line["value"] for line in measured}}
    finite = {name: float(value) for name, value in summary.items() if value is not None and math.isfinite(value)}
    told = {name: value for name, value in config.items() if value is not None}
    return Run(
        row["trial"],
        row["study"],
        row["status"] == DONE,
        told,
        [*steps.items()],
        finite,
        row["started"],
        row["finished"],
    )


def write_tensorboard(runs: Sequence[Run], folder: Path) -> None:
    """Writes an event file per trial, `STUDY/TRIAL`, with curves as scalars, hyperparameters and final scores."""
    from tensorboardX import SummaryWriter  # comes with ray[tune]

    for run in runs:
        place = folder / run.study / run.trial
        shutil.rmtree(place, ignore_errors=True)  # a second event file would be drawn as another line
        with SummaryWriter(str(place)) as writer:
            time = None if run.finished is None else run.finished.timestamp()
            for epoch, values in run.steps:
                for name, value in values.items():
                    writer.add_scalar(name, value, epoch, walltime=time)
            plain = {
                name: value if isinstance(value, (int, float)) else str(value) for name, value in run.config.items()
            }
            writer.add_hparams(plain, run.summary, name="end", global_step=len(run.steps))


def write_mlflow(runs: Sequence[Run], folder: Path) -> None:
    """Writes a run per trial to an experiment per study in `mlflow.db`; a failed trial is a failed run.

    Existing runs are kept. `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db` shows them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entities = _import_extra("mlflow.entities", "mlflow")
    client = _import_extra("mlflow", "mlflow").MlflowClient(tracking_uri=f"sqlite:///{folder.resolve() / 'mlflow.db'}")
    experiments = {name: _find_or_create_experiment(client, name) for name in dict.fromkeys(run.study for run in runs)}
    there = {known.info.run_name for known in client.search_runs([*experiments.values()], max_results=50_000)}
    for run in runs:
        if run.trial in there:
            continue
        began, ended = _to_milliseconds(run.started), _to_milliseconds(run.finished)
        made = client.create_run(experiments[run.study], start_time=began, run_name=run.trial).info.run_id
        points = [(name, value, epoch) for epoch, values in run.steps for name, value in values.items()]
        points += [(name, value, len(run.steps)) for name, value in run.summary.items()]
        metrics = [entities.Metric(name, value, ended or 0, epoch) for name, value, epoch in points]
        params = [entities.Param(name, str(value)) for name, value in run.config.items()]
        for start in range(0, max(len(metrics), len(params)), 100):
            client.log_batch(made, metrics[start : start + 100], params[start : start + 100])
        client.set_terminated(made, "FINISHED" if run.done else "FAILED", end_time=ended)


def _find_or_create_experiment(client: Any, name: str) -> str:
    known = client.get_experiment_by_name(name)
    return str(known.experiment_id if known else client.create_experiment(name))


def write_wandb(runs: Sequence[Run], folder: Path) -> None:
    """Writes an offline run per trial to a project per study; `wandb sync FOLDER/wandb/offline-*` uploads them.

    Existing runs are kept.
    """
    wandb = _import_extra("wandb", "wandb")
    folder.mkdir(parents=True, exist_ok=True)
    quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True, disable_git=True)
    for run in runs:
        if any(folder.glob(f"wandb/offline-run-*-{run.trial}")):
            continue
        options = {"project": run.study, "name": run.trial, "id": run.trial, "config": run.config}
        with wandb.init(mode="offline", dir=str(folder), settings=quiet, reinit="finish_previous", **options) as made:
            for epoch, values in run.steps:
                made.log(values, step=epoch)
            made.summary.update(run.summary)
            made.finish(exit_code=0 if run.done else 1)


TRACKERS: Mapping[str, Callable[[Sequence[Run], Path], None]] = {
    "tensorboard": write_tensorboard,
    "mlflow": write_mlflow,
    "wandb": write_wandb,
}


def _to_milliseconds(time: datetime | None) -> int | None:
    return None if time is None else int(1000 * time.timestamp())


def _import_extra(module: str, extra: str) -> ModuleType:
    """Imports a package that only this export needs."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ValueError(
            f'This export needs the package {extra}, which is not installed. Run: pip install "equistudy[{extra}]"'
        ) from None
