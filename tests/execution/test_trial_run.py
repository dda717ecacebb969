import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from torch import nn

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.execution import trial_run
from equistudy.execution.job import Conditions, Job, Phase, Progress, Provenance
from equistudy.execution.trial_run import TrialRun
from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.correlation import WithinCorrelation
from equistudy.models.model import Model
from equistudy.models.resnet import ResNet
from equistudy.recipe import SGD, Constant, Recipe
from equistudy.results.results import results
from equistudy.results.store import StorageError, Store
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

DIGITS = Digits(canvas=16, digit=8, train_size=128)
TRIAL = Trial(ResNet(8, 2), DIGITS, Classification(), NoAugmentation(), Recipe(epochs=3, batch_size=64), seed=0)
ACCURACY, WITHIN = Accuracy(), WithinCorrelation(Translation(max_pixels=1))


@dataclass(frozen=True)
class Broken(Model):
    """Raises as soon as it is built."""

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> nn.Module:
        raise KeyError("a bug in the model")


def conditions(tmp_path: Path) -> Conditions:
    return Conditions("study", Store.open(tmp_path / "results"), Provenance("abc", False, {"torch": "2"}))


def run(job: Job, tmp_path: Path) -> list[Progress]:
    return list(TrialRun(job, conditions(tmp_path)))


def test_a_trial_ends_with_one_row_its_curves_its_measurements_and_its_weights(tmp_path: Path) -> None:
    job = Job(TRIAL, {"width": 2}, (ACCURACY, WITHIN))
    phases = [progress.phase for progress in run(job, tmp_path)]
    assert phases == [Phase.TRAINING] * 4 + [Phase.MEASURING, Phase.DONE]
    found = results(tmp_path / "results")
    (row,) = found.trials.collect().to_dicts()
    assert (row["trial"], row["status"], row["study"], row["width"]) == (TRIAL.id, "done", "study", 2)
    assert (row["commit"], row["dirty"], row["epochs"], row["resumed"]) == ("abc", False, 3, 0)
    assert row["images_seen"] == 3 * 128
    assert json.loads(row["versions"]) == {"torch": "2"}
    accuracy = found.measurements.collect().filter(measure="accuracy")["value"].item()
    assert accuracy == pytest.approx(row["test_accuracy"])
    assert found.curves.collect().filter(name="loss", split="train").height == 3
    store = Store.open(tmp_path / "results")
    assert store.read_bytes(row["weights"])
    assert store.list("checkpoints") == store.list("running") == []


def test_an_interrupted_trial_continues_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_run, "WORTH_SECONDS", 0)
    monkeypatch.setattr(trial_run, "SAVING_SHARE", 1e9)
    job = Job(TRIAL, {}, (WITHIN,))
    run(job, tmp_path / "straight")
    interrupted = TrialRun(job, conditions(tmp_path / "killed"))
    for progress in interrupted:
        if progress.epoch == 2:
            break  # as if the process died here: nothing after this point runs
    assert Store.open(tmp_path / "killed" / "results").list("checkpoints")
    assert [progress.epoch for progress in run(job, tmp_path / "killed")] == [2, 3, 3, 3]
    frames = [results(tmp_path / name / "results") for name in ("straight", "killed")]
    straight, killed = (frame.measurements.drop("seconds").collect() for frame in frames)
    assert killed.height > 0
    assert straight.equals(killed)
    assert frames[0].curves.collect().equals(frames[1].curves.collect())
    assert frames[1].trials.collect()["resumed"].item() == 1


def test_a_finished_trial_is_not_trained_again(tmp_path: Path) -> None:
    job = Job(TRIAL, {}, ())
    run(job, tmp_path)
    assert [progress.phase for progress in run(job, tmp_path)] == [Phase.DONE]


def test_stopping_keeps_what_was_learned_but_only_until_the_row_is_written(tmp_path: Path) -> None:
    stopped = TrialRun(Job(TRIAL, {}, ()), conditions(tmp_path))
    progress = iter(stopped)
    while next(progress).epoch < 1:
        pass
    stopped.save()
    checkpoints = Store.open(tmp_path / "results").list("checkpoints")
    assert checkpoints == [f"{TRIAL.id}.0.pt"]
    assert [step.phase for step in progress][-1] == Phase.DONE
    stopped.save()
    assert Store.open(tmp_path / "results").list("checkpoints") == []


def test_a_new_measure_trains_nothing(tmp_path: Path) -> None:
    run(Job(TRIAL, {}, (ACCURACY,)), tmp_path)
    weights = results(tmp_path / "results").trials.collect()["weights"].item()
    later = run(Job(TRIAL, {}, (WITHIN,), weights=weights), tmp_path)
    assert [progress.phase for progress in later] == [Phase.MEASURING, Phase.DONE]
    run(Job(TRIAL, {}, (ACCURACY, WITHIN)), tmp_path / "together")
    found, together = (
        results(folder / "results").measurements.drop("seconds").collect().sort("measure", "stage", "element")
        for folder in (tmp_path, tmp_path / "together")
    )
    assert found.equals(together)


@pytest.mark.parametrize(
    ("trial", "reason", "message"),
    [
        (replace(TRIAL, model=Broken()), "bug", "a bug in the model"),
        (
            replace(TRIAL, recipe=Recipe(2, optimiser=SGD(learning_rate=1e30), schedule=Constant())),
            "not a number",
            "The training loss is",
        ),
    ],
)
def test_a_failure_has_a_row_with_reason_and_traceback(tmp_path: Path, trial: Trial, reason: str, message: str) -> None:
    last = run(Job(trial, {}, ()), tmp_path)[-1]
    assert last.phase == Phase.FAILED
    assert message in (last.message or "")
    (row,) = results(tmp_path / "results").trials.collect().to_dicts()
    assert (row["status"], row["reason"]) == ("failed", reason)
    assert message in row["message"]
    assert "Traceback" in row["traceback"]
    again = run(Job(replace(trial, model=ResNet(8, 2), recipe=TRIAL.recipe), {}, ()), tmp_path)
    assert again[-1].phase == Phase.DONE


def test_missing_weights_are_told(tmp_path: Path) -> None:
    last = run(Job(TRIAL, {}, (ACCURACY,), weights="weights/gone.safetensors"), tmp_path)[-1]
    assert last.phase == Phase.FAILED
    assert last.message is not None
    assert last.message.startswith("Measuring needs the trained network, and weights/gone.safetensors is not in")


def test_other_data_on_a_worker_are_refused(tmp_path: Path) -> None:
    last = run(Job(TRIAL, {}, (), fingerprint="other"), tmp_path)[-1]
    assert last.phase == Phase.FAILED
    assert "A worker must have the data that the plan was made with" in (last.message or "")
    assert results(tmp_path / "results").trials.collect()["reason"].item() == "data"


def test_a_full_disk_is_no_failure_of_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = TrialRun(Job(TRIAL, {}, ()), conditions(tmp_path))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        list(trial)
    monkeypatch.undo()
    assert Store.open(tmp_path / "results").finished() == {}
