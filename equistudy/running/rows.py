"""The rows of a trial: of its measures, of its success, of its failure."""

import json
import platform
import re
import socket
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from equistudy.measuring.measure import MeasuringResult, Skipped
from equistudy.results.schema import TrialRow
from equistudy.results.store import Store
from equistudy.running.job import Conditions, Job
from equistudy.study.trial import Stream, derived_seed, fingerprint
from equistudy.training.failures import Reason, reason_of, told

__all__ = ["failed_row", "skipped_text", "stopped_row", "trial_row", "write_measured"]


def write_measured(job: Job, store: Store, result: MeasuringResult) -> None:
    """Writes the rows of each measure of the job, also where it has none."""
    for measure in job.measures:
        rows = [asdict(row) for row in result.rows if row.measure_id == measure.id]
        store.write_measurements(job.trial.id, job.attempt, measure.id, rows)


def skipped_text(skipped: Sequence[Skipped]) -> str:
    """What could not be measured, as a trial's row has it."""
    return json.dumps([absent._asdict() for absent in skipped])


def _hardware(device: str) -> str:
    """The name of the processor that trained, and the instructions that torch uses on it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    table = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", table.read_text()) if table.exists() else []
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def trial_row(job: Job, conditions: Conditions, started: datetime, **values: Any) -> TrialRow:
    """The row of a trial with everything that its job and its conditions say; `values` adds what came out."""
    trial, device = job.trial, "cuda" if conditions.use_gpu else "cpu"
    return TrialRow(
        trial=trial.id,
        attempt=job.attempt,
        study=conditions.study,
        seed=trial.seed,
        factors=json.dumps(dict(job.levels)),
        spec=json.dumps(trial.fields()),
        device=device,
        hardware=_hardware(device),
        workers=conditions.workers,
        threads=conditions.threads,
        deterministic=device == "cpu" or trial.recipe.deterministic,
        precision=trial.recipe.precision.value,
        host=socket.gethostname(),
        started=started,
        finished=datetime.now(UTC),
        commit=conditions.provenance.commit,
        dirty=conditions.provenance.dirty,
        versions=json.dumps(dict(conditions.provenance.versions)),
        seeds=json.dumps({stream.value: derived_seed(trial.seed, stream) for stream in Stream}),
        fingerprint=fingerprint(trial.dataset),
        **values,
    )


def failed_row(
    job: Job, conditions: Conditions, error: BaseException, started: datetime, trace: str | None = None
) -> TrialRow:
    """The row of a trial that has no network, with the reason and the traceback, if it is not the error's own."""
    return trial_row(
        job,
        conditions,
        started,
        status="failed",
        reason=reason_of(error).value,
        message=told(error),
        traceback=trace or "".join(traceback.format_exception(error)),
        seconds=(datetime.now(UTC) - started).total_seconds(),
    )


def stopped_row(job: Job, conditions: Conditions, epochs: int, scores: dict[str, float]) -> TrialRow:
    """The row of a trial that a search's scheduler gave up after some epochs."""
    return trial_row(
        job,
        conditions,
        datetime.now(UTC),
        status="failed",
        reason=Reason.STOPPED.value,
        message=f"the scheduler of the search stopped it after {epochs} of {job.trial.recipe.epochs} epochs",
        epochs=epochs,
        scores=json.dumps(scores),
    )
