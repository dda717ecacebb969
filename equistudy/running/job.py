"""What travels to a worker: the trial as specs, where its rows go, and under which conditions it trains."""

import importlib.metadata
import platform
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from equistudy.measuring.measure import Measure
from equistudy.results.store import Store
from equistudy.study.trial import Trial, fingerprint

__all__ = [
    "UNWRITTEN_REASON",
    "Job",
    "Provenance",
    "RunConditions",
    "TrialPhase",
    "TrialProgress",
    "collect_provenance",
]

# Why a trial ended without a row: nothing could be written. No reason of any row, so no FailureReason.
UNWRITTEN_REASON = "not written"

RECORDED_PACKAGES = ("equistudy", "torch", "torchvision", "ray", "timm", "pyarrow", "numpy")


@dataclass(frozen=True)
class Job:
    """One trial to be trained and measured, or only measured where it `has_row`.

    `weights` names the trained network of a finished trial; one that was never trained is built again. `fingerprint` is
    that of the data where the plan was made, `model_fingerprint` that of the pretrained weights: a worker that finds
    others must not use them. `every_measure` is what the network needs if it must be trained again after all. `writer`
    is that of the trial's row, or of the process that runs the attempt: two runs may make the same attempt.
    """

    trial: Trial
    levels: Mapping[str, object]
    measures: tuple[Measure, ...]
    attempt: int = 0
    weights: str | None = None
    fingerprint: str | None = None
    model_fingerprint: str | None = None
    built: bool = False
    every_measure: tuple[Measure, ...] = ()
    writer: str | None = None

    def __str__(self) -> str:
        return ", ".join([*(f"{name}={level}" for name, level in self.levels.items()), f"seed={self.trial.seed}"])

    @property
    def has_row(self) -> bool:
        """Whether the trial has its row, and only measures are missing."""
        return self.built or self.weights is not None

    def build_retraining(self) -> "Job":
        """The job of training the network again, as the next attempt at the trial, where its weights are lost."""
        again = replace(self, attempt=self.attempt + 1, measures=self.every_measure, weights=None, built=False)
        return replace(again, writer=None).with_writer()

    def with_writer(self) -> "Job":
        """The job as one process runs it: without a row, under a writer of its own."""
        return self if self.has_row else replace(self, writer=secrets.token_hex(4))

    def with_absolute_paths(self) -> "Job":
        """The job as it is sent: with absolute places of its data and weights, and with their fingerprints."""
        model, dataset = self.trial.model, self.trial.dataset
        return replace(
            self,
            trial=replace(self.trial, model=model.with_absolute_paths(), dataset=dataset.with_absolute_paths()),
            fingerprint=fingerprint(dataset),
            model_fingerprint=model.fingerprint(),
        )


class Provenance(NamedTuple):
    """Which code and which packages run: for the rows, not for the ids."""

    commit: str | None
    dirty: bool | None
    versions: Mapping[str, str]


@dataclass(frozen=True)
class RunConditions:
    """What all trials of one run share: the study's name, the store, and the resources of a trial.

    `gpu_share` is the share of its GPU's memory that each process may take. A trial that completes no step for
    `hang_seconds` counts as hung. With `raise_errors`, an error of a trial is raised once its row is written, for
    debugging.
    """

    study: str
    store: Store
    provenance: Provenance
    workers: int = 1
    threads: int = 1
    use_gpu: bool = False
    gpu_share: float = 1.0
    hang_seconds: float = 3600.0
    raise_errors: bool = False


class TrialPhase:
    """What a trial is doing."""

    TRAINING = "training"
    MEASURING = "measuring"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    DIED = "died"  # its process; it starts again from its checkpoint
    PREEMPTED = "preempted"  # its process was told to end, and kept what it had


class TrialProgress(NamedTuple):
    """Where a trial is, reported after each epoch and each change of phase. `levels` names the trial for people.

    A failure has its reason and its message. With `UNWRITTEN_REASON` it has no row, because nothing could be written.
    """

    trial: str
    phase: str
    epoch: int
    epochs: int
    levels: str
    message: str | None = None
    reason: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether the trial is over: it has its row, or none can be written."""
        return self.phase in (TrialPhase.DONE, TrialPhase.FAILED, TrialPhase.STOPPED)


def collect_provenance(study_file: Path) -> Provenance:
    """The commit of the study file's repository, whether it has uncommitted changes, and the packages' versions."""
    folder = study_file.resolve().parent
    commit = _run_git(folder, "rev-parse", "HEAD")
    changes = _run_git(folder, "status", "--porcelain", "--untracked-files=no")
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # run from a checkout that is not installed: the commit says what it is
    return Provenance(commit, None if changes is None else bool(changes), versions)


def _run_git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
