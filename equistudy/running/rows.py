"""The rows of a trial: of its measures, of its success, of its failure."""

import json
import platform
import re
import socket
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from equistudy.measuring.measure import MeasuringResult, Skipped
from equistudy.results.schema import TrialRow
from equistudy.results.store import Store
from equistudy.running.job import Job, RunConditions
from equistudy.study.trial import RandomStream, derive_seed, fingerprint
from equistudy.training.failures import FailureReason, classify_error, describe_error

__all__ = ["build_failed_row", "build_stopped_row", "build_trial_row", "format_skipped", "write_measuring_result"]


def write_measuring_result(job: Job, store: Store, result: MeasuringResult) -> None:
    """Writes the rows of each measure of the job, also where it has none."""
    for measure in job.measures:
        rows = [asdict(row) for row in result.rows if row.measure_id == measure.id]
        store.write_measurements(job.trial.id, job.attempt, measure.id, rows, writer=job.writer)


def format_skipped(skipped: Sequence[Skipped]) -> str:
    """What could not be measured, as a trial's row has it."""
    return json.dumps([absent._asdict() for absent in skipped])


def _describe_hardware(device: str) -> str:
    """The name of the processor that trained, and the instructions that torch uses on it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    table = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", table.read_text()) if table.exists() else []
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def build_trial_row(job: Job, conditions: RunConditions, started: datetime, **values: Any) -> TrialRow:
    """The row of a trial with everything that its job and its conditions say; `values` adds what came out."""
    described = {name: describe() for name, describe in _build_descriptions(job, conditions).items()}
    return TrialRow(**_name_trial(job, conditions, started), **described, **values)


def _name_trial(job: Job, conditions: RunConditions, started: datetime) -> dict[str, Any]:
    """Which attempt it is, by whom and when: values that are there already, whatever has failed."""
    return {
        "trial": job.trial.id,
        "attempt": job.attempt,
        "study": conditions.study,
        "seed": job.trial.seed,
        "workers": conditions.workers,
        "threads": conditions.threads,
        "started": started,
        "finished": datetime.now(UTC),
        "writer": job.writer,
        "commit": conditions.provenance.commit,
        "dirty": conditions.provenance.dirty,
    }


def _build_descriptions(job: Job, conditions: RunConditions) -> dict[str, Callable[[], Any]]:
    """The columns that are computed from specs, data or the machine. Each may fail where the trial itself did."""
    trial, device = job.trial, "cuda" if conditions.use_gpu else "cpu"
    return {
        "factors": lambda: json.dumps(dict(job.levels)),
        "spec": lambda: json.dumps(trial.build_fields()),
        "device": lambda: device,
        "hardware": lambda: _describe_hardware(device),
        "deterministic": lambda: device == "cpu" or trial.recipe.deterministic,
        "precision": lambda: trial.recipe.precision.value,
        "host": socket.gethostname,
        "versions": lambda: json.dumps(dict(conditions.provenance.versions)),
        "seeds": lambda: json.dumps({stream.value: derive_seed(trial.seed, stream) for stream in RandomStream}),
        "fingerprint": lambda: fingerprint(trial.dataset),
    }


def build_failed_row(
    job: Job, conditions: RunConditions, error: BaseException, started: datetime, trace: str | None = None
) -> TrialRow:
    """The row of a trial that has no network, with the reason and the traceback, if it is not the error's own.

    It is built whatever has failed: what cannot be described is null, or says so where a text is needed.
    """
    described = {name: _try(describe) for name, describe in _build_descriptions(job, conditions).items()}
    described["factors"] = described["factors"] or "{}"
    described["spec"] = described["spec"] or "{}"
    return TrialRow(
        **_name_trial(job, conditions, started),
        **described,
        status="failed",
        reason=classify_error(error).value,
        message=describe_error(error),
        traceback=_try(lambda: _escape_surrogates(trace or "".join(traceback.format_exception(error)))),
        seconds=(datetime.now(UTC) - started).total_seconds(),
    )


def _try(describe: Callable[[], Any]) -> Any:
    """What `describe` returns, or None where it fails."""
    try:
        return describe()
    except Exception:  # of any kind: specs and errors may be anybody's code
        return None


def _escape_surrogates(text: str) -> str:
    """The text with lone surrogates, such as those of undecodable file names, escaped: UTF-8 has none."""
    return text.encode("utf-8", "backslashreplace").decode()


def build_stopped_row(job: Job, conditions: RunConditions, epochs: int, scores: dict[str, float]) -> TrialRow:
    """The row of a trial that a search's scheduler gave up after some epochs."""
    return build_trial_row(
        job,
        conditions,
        datetime.now(UTC),
        status="failed",
        reason=FailureReason.STOPPED.value,
        message=f"the scheduler of the search stopped it after {epochs} of {job.trial.recipe.epochs} epochs",
        epochs=epochs,
        scores=json.dumps(scores),
    )
