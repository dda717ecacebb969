import io
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray import train

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.execution import distributed_trial
from equistudy.execution.cluster import Resources
from equistudy.execution.distributed_trial import MAX_RESTARTS, is_death, run_distributed_trial
from equistudy.execution.job_source import PlannedJobs
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.results import results
from equistudy.results.store import StorageError, Store
from equistudy.running.job import UNWRITTEN_REASON, Job, Provenance, RunConditions
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

TRIAL = Trial(
    ResNet(8, 2),
    Digits(canvas=16, digit=8, train_size=64),
    Classification(),
    NoAugmentation(),
    Recipe(epochs=3, batch_size=8),
    seed=0,
)
JOB = Job(TRIAL, {}, ())


class Failing:
    """Stands in for Train: every run fails with `cause`, after saving a checkpoint of that many more steps."""

    def __init__(self, store: Store, cause: Exception, steps_each: int) -> None:
        self.runs, self._store, self._cause, self._steps_each = 0, store, cause, steps_each
        self.micro_batches: list[int | None] = []

    def build(self, job: Job, conditions: Any, resources: Any, folder: str, micro_batch: int | None) -> "Failing":
        self.micro_batches.append(micro_batch)
        return self

    def fit(self) -> None:
        self.runs += 1
        if self.runs > 40:
            raise AssertionError("it goes on for ever")
        state = io.BytesIO()
        # seconds differ in every checkpoint of the same step
        torch.save({"steps": min(self.runs * self._steps_each, 24), "seconds": float(self.runs)}, state)
        self._store.write_sealed(f"checkpoints/{TRIAL.id}.0.pt", state.getvalue())
        raise train.WorkerGroupError("failed", {0: self._cause})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the controller over a Train that always fails; gives its last report and what Train was asked for."""

    def run(cause: Exception, steps_each: int = 0) -> tuple[dict[str, Any], Failing]:
        store, reports = Store.open(tmp_path), list[dict[str, Any]]()
        failing = Failing(store, cause, steps_each)
        monkeypatch.setattr(distributed_trial, "_build_trainer", failing.build)
        monkeypatch.setattr(distributed_trial.tune, "report", reports.append)
        conditions = RunConditions("study", store, Provenance(None, None, {}), workers=2)
        run_distributed_trial({"index": 0}, PlannedJobs((JOB,)), conditions, Resources(workers=2))
        (last,) = reports
        assert last["done"]
        return last, failing

    return run


def died() -> ray.exceptions.RayError:
    return ray.exceptions.WorkerCrashedError()


def test_deaths_without_progress_end_in_a_row(run, tmp_path: Path) -> None:
    last, failing = run(died())
    assert failing.runs == MAX_RESTARTS + 1
    assert (last["phase"], last["reason"]) == ("failed", "worker died")
    assert results(tmp_path).attempts["reason"].to_list() == ["worker died"]


def test_checkpoints_that_differ_without_a_new_step_are_no_progress(run) -> None:
    assert run(died(), steps_each=24)[1].runs == 1 + MAX_RESTARTS


def test_a_trial_that_gains_steps_between_deaths_goes_on_to_its_last_step(run) -> None:
    # 24 steps in all: progress ends after the third run
    assert run(died(), steps_each=8)[1].runs == 3 + MAX_RESTARTS


def test_an_error_of_its_own_counts_the_second_time(run) -> None:
    last, failing = run(KeyError("layer"))
    assert failing.runs == 2
    assert (last["phase"], last["reason"]) == ("failed", "bug")


def test_memory_that_never_suffices_is_halved_to_one_sample(run) -> None:
    last, failing = run(torch.OutOfMemoryError("CUDA out of memory"))
    assert failing.micro_batches[:3] == [None, 2, 1]
    assert last["reason"] == "out of memory"


def test_a_worker_that_cannot_write_is_not_started_again(run, tmp_path: Path) -> None:
    last, failing = run(StorageError("Cannot write weights: no space. Free some."))
    assert failing.runs == 1
    assert (last["phase"], last["reason"]) == ("failed", UNWRITTEN_REASON)
    assert last["message"] == "Cannot write weights: no space. Free some."
    assert not results(tmp_path).list_finished()


def test_only_errors_of_rays_own_are_deaths() -> None:
    assert is_death(died())
    assert not is_death(RuntimeError("ray is gone"))
