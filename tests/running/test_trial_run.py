import json
import math
import os
import shutil
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.digits import Digits
from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.correlation import WithinCorrelation
from equistudy.models.model import Model
from equistudy.models.resnet import ResNet
from equistudy.models.timm_model import Protocol, TimmModel
from equistudy.networks.import_timm import import_timm
from equistudy.recipe import SGD, Constant, Recipe
from equistudy.results import results
from equistudy.results.files import LostResultsError
from equistudy.results.store import StorageError, Store
from equistudy.running import heartbeat, trial_run
from equistudy.running.job import Job, Provenance, RunConditions, TrialPhase, TrialProgress
from equistudy.running.trial_run import TrialRun
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training import sources, streamed, trainer
from tests.datasets.shards import shards

DIGITS = Digits(canvas=16, digit=8, train_size=128, test_size=64)
TRIAL = Trial(ResNet(8, 2), DIGITS, Classification(), NoAugmentation(), Recipe(epochs=3, batch_size=64), seed=0)
ACCURACY, WITHIN = Accuracy(), WithinCorrelation(Translation(max_pixels=1))


@dataclass(frozen=True)
class Broken(Model):
    """Raises as soon as it is built."""

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> nn.Module:
        raise KeyError("a bug in the model")


class Dropless(nn.Module):
    """A linear network, which accumulated gradients leave as it is."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Linear(inputs, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images.flatten(1))


class Starving(Dropless):
    """Fails with any batch."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")


@dataclass(frozen=True)
class Plain(Model):
    """Builds the network that a test chooses."""

    network: ClassVar[type[Dropless]] = Dropless

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> nn.Module:
        return type(self).network(math.prod(image_shape), num_outputs)


def conditions(tmp_path: Path) -> RunConditions:
    return RunConditions("study", Store.open(tmp_path / "results"), Provenance("abc", False, {"torch": "2"}))


def run(job: Job, tmp_path: Path) -> list[TrialProgress]:
    return list(TrialRun(job, conditions(tmp_path)))


def test_a_trial_ends_with_one_row_its_curves_its_measurements_and_its_weights(tmp_path: Path) -> None:
    job = Job(TRIAL, {"width": 2}, (ACCURACY, WITHIN))
    phases = [progress.phase for progress in run(job, tmp_path)]
    assert phases == [TrialPhase.TRAINING] * 4 + [TrialPhase.MEASURING, TrialPhase.DONE]
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
    assert store.list_names("checkpoints") == store.list_names("running") == []


def test_a_gpu_where_there_is_none_is_told_in_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = TrialRun(Job(TRIAL, {}, ()), replace(conditions(tmp_path), gpu_share=0.25), device=torch.device("cuda"))
    (progress,) = run
    assert progress.phase == TrialPhase.FAILED
    assert "need torch to see one" in str(progress.message)
    assert results(tmp_path / "results").trials.collect()["status"].to_list() == ["failed"]


def test_an_interrupted_trial_continues_to_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_run, "MIN_SAVING_SECONDS", 0)
    monkeypatch.setattr(trial_run, "MAX_SAVING_SHARE", 1e9)
    job = Job(TRIAL, {}, (WITHIN,))
    run(job, tmp_path / "straight")
    interrupted = TrialRun(job, conditions(tmp_path / "killed"))
    for progress in interrupted:
        if progress.epoch == 2:
            break  # as if the process died here: nothing after this point runs
    assert Store.open(tmp_path / "killed" / "results").list_names("checkpoints")
    assert [progress.epoch for progress in run(job, tmp_path / "killed")] == [2, 3, 3, 3]
    frames = [results(tmp_path / name / "results") for name in ("straight", "killed")]
    straight, killed = (frame.measurements.drop("seconds").collect() for frame in frames)
    assert killed.height > 0
    assert straight.equals(killed)
    assert frames[0].curves.collect().equals(frames[1].curves.collect())
    assert frames[1].trials.collect()["resumed"].item() == 1


def test_a_trial_killed_within_an_epoch_continues_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_run, "MIN_SAVING_SECONDS", 0)
    monkeypatch.setattr(trial_run, "MAX_SAVING_SHARE", 1e9)
    monkeypatch.setattr(trainer, "PAUSE_STEPS", 2)
    trial = replace(TRIAL, dataset=shards(tmp_path / "data"), recipe=Recipe(2, 15))
    run(Job(trial, {}, (ACCURACY,)), tmp_path / "straight")
    saves = []

    def killed(self: Store, name: str, data: bytes) -> None:
        write(self, name, data)
        if name.startswith("checkpoints"):
            saves.append(name)
            if len(saves) == 4:  # after two steps of the second epoch
                raise KeyboardInterrupt

    write = Store.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            run(Job(trial, {}, (ACCURACY,)), tmp_path / "killed")
    seen = []
    patched = streamed.stream_shares
    monkeypatch.setattr(
        sources,
        "stream_shares",
        lambda dataset, seed, sizes, first, *rest: seen.append(first) or patched(dataset, seed, sizes, first, *rest),
    )
    run(Job(trial, {}, (ACCURACY,)), tmp_path / "killed")
    assert seen == [2]
    frames = [results(tmp_path / name / "results") for name in ("straight", "killed")]
    assert frames[0].curves.collect().equals(frames[1].curves.collect())
    assert frames[0].measurements.drop("seconds").collect().equals(frames[1].measurements.drop("seconds").collect())


@pytest.mark.slow
def test_too_little_memory_is_met_with_half_as_many_images_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    class Hungry(Dropless):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            tried.append(len(images))
            if self.training and len(images) > 20:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(images)

    monkeypatch.setattr(Plain, "network", Hungry)
    trial = replace(TRIAL, model=Plain(), recipe=Recipe(2, 64, optimiser=SGD(learning_rate=0.01)))
    assert run(Job(trial, {}, ()), tmp_path)[-1].phase == TrialPhase.DONE
    (row,) = results(tmp_path / "results").trials.collect().to_dicts()
    assert tried[:6] == [64, 32, 16, 16, 16, 16]
    assert (row["micro_batch"], row["epochs"]) == (16, 2)
    monkeypatch.setattr(Plain, "network", Dropless)
    run(Job(trial, {}, ()), tmp_path / "enough")
    (enough,) = results(tmp_path / "enough" / "results").trials.collect().to_dicts()
    assert enough["micro_batch"] is None
    assert row["train_loss"] == pytest.approx(enough["train_loss"], rel=1e-5)
    monkeypatch.setattr(Plain, "network", Starving)
    assert run(Job(trial, {}, ()), tmp_path / "none")[-1].phase == TrialPhase.FAILED
    assert results(tmp_path / "none" / "results").trials.collect()["reason"].item() == "out of memory"


def test_a_finished_trial_is_not_trained_again(tmp_path: Path) -> None:
    job = Job(TRIAL, {}, ())
    run(job, tmp_path)
    assert [progress.phase for progress in run(job, tmp_path)] == [TrialPhase.DONE]


def test_stopping_keeps_what_was_learned_but_only_until_the_row_is_written(tmp_path: Path) -> None:
    stopped = TrialRun(Job(TRIAL, {}, ()), conditions(tmp_path))
    progress = iter(stopped)
    while next(progress).epoch < 1:
        pass
    stopped.save()
    checkpoints = Store.open(tmp_path / "results").list_names("checkpoints")
    assert checkpoints == [f"{TRIAL.id}.0.pt"]
    assert [step.phase for step in progress][-1] == TrialPhase.DONE
    stopped.save()
    assert Store.open(tmp_path / "results").list_names("checkpoints") == []


def test_a_new_measure_trains_nothing(tmp_path: Path) -> None:
    run(Job(TRIAL, {}, (ACCURACY,)), tmp_path)
    (row,) = results(tmp_path / "results").trials.collect().to_dicts()
    later = run(Job(TRIAL, {}, (WITHIN,), weights=row["weights"], writer=row["writer"]), tmp_path)
    assert [progress.phase for progress in later] == [TrialPhase.MEASURING, TrialPhase.DONE]
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
    assert last.phase == TrialPhase.FAILED
    assert message in (last.message or "")
    (row,) = results(tmp_path / "results").trials.collect().to_dicts()
    assert (row["status"], row["reason"]) == ("failed", reason)
    assert message in row["message"]
    assert "Traceback" in row["traceback"]
    again = run(Job(replace(trial, model=ResNet(8, 2), recipe=TRIAL.recipe), {}, ()), tmp_path)
    assert again[-1].phase == TrialPhase.DONE


def test_two_runs_of_one_attempt_keep_their_weights_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = replace(TRIAL, recipe=replace(TRIAL.recipe, epochs=1))
    made = iter((b"1", b"2"))
    monkeypatch.setattr(trial_run, "serialise_weights", lambda network, trial: next(made))
    at_once = [TrialRun(Job(trial, {}, ()), conditions(tmp_path)) for _ in range(2)]
    ends = list(zip_longest(*at_once))
    assert {progress.phase for progress in ends[-1] if progress} == {TrialPhase.DONE}
    folder = tmp_path / "results"
    assert sorted(path.read_bytes() for path in (folder / "weights").iterdir()) == [b"1", b"2"]
    (row,) = results(folder).trials.collect().to_dicts()
    assert (folder / row["weights"]).is_file()


def test_missing_weights_are_told(tmp_path: Path) -> None:
    last = run(Job(TRIAL, {}, (ACCURACY,), weights="weights/gone.safetensors"), tmp_path)[-1]
    assert last.phase == TrialPhase.FAILED
    assert last.message is not None
    assert last.message.startswith("Measuring needs the trained network, but weights/gone.safetensors is missing from")


def test_other_data_on_a_worker_are_refused(tmp_path: Path) -> None:
    last = run(Job(TRIAL, {}, (), fingerprint="other"), tmp_path)[-1]
    assert last.phase == TrialPhase.FAILED
    assert "Every worker must have the same data as the plan" in (last.message or "")
    assert results(tmp_path / "results").trials.collect()["reason"].item() == "data"


def test_a_full_disk_is_no_failure_of_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = TrialRun(Job(TRIAL, {}, ()), conditions(tmp_path))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        list(trial)
    monkeypatch.undo()
    assert Store.open(tmp_path / "results").list_statuses() == {}


LEAVES = DeadLeaves(size=48, test_images=4)
AS_IT_IS = Trial(TimmModel("test_resnet"), LEAVES, Classification(), NoAugmentation(), Recipe(epochs=0), seed=0)


def test_a_network_that_is_not_trained_is_measured_and_not_stored(tmp_path: Path) -> None:
    phases = [progress.phase for progress in run(Job(AS_IT_IS, {}, (ACCURACY, WITHIN)), tmp_path)]
    assert phases == [TrialPhase.MEASURING, TrialPhase.DONE]
    found = results(tmp_path / "results")
    (row,) = found.trials.collect().to_dicts()
    assert (row["status"], row["epochs"], row["images_seen"], row["weights"]) == ("done", 0, 0, None)
    assert row["parameters"] > 0
    assert "test_accuracy" not in row
    assert json.loads(row["skipped"])[0] == {
        "measure": "accuracy",
        "stage": "logits",
        "element": None,
        "reason": "the images have no labels",
    }
    measured = found.measurements.collect()
    assert set(measured["measure"]) == {"within_correlation"}
    assert measured["untrained"].null_count() == measured.height  # it would be the same network
    store = Store.open(tmp_path / "results")
    assert store.list_names("weights") == store.list_names("checkpoints") == store.list_names("running") == []


def test_a_network_that_is_not_trained_is_built_again_for_a_new_measure(tmp_path: Path) -> None:
    run(Job(AS_IT_IS, {}, (ACCURACY,)), tmp_path)
    writer = results(tmp_path / "results").trials.collect()["writer"].item()
    later = run(Job(AS_IT_IS, {}, (WITHIN,), built=True, writer=writer), tmp_path)
    assert [progress.phase for progress in later] == [TrialPhase.MEASURING, TrialPhase.DONE]
    run(Job(AS_IT_IS, {}, (WITHIN,)), tmp_path / "together")
    found, together = (
        results(folder / "results").measurements.drop("seconds").collect()
        for folder in (tmp_path, tmp_path / "together")
    )
    assert found.height > 0
    assert found.equals(together)


def test_a_killed_measuring_leaves_the_trial_missing(tmp_path: Path) -> None:
    for progress in TrialRun(Job(AS_IT_IS, {}, (WITHIN,)), conditions(tmp_path)):
        if progress.phase == TrialPhase.MEASURING:
            break  # as if the process died here
    assert not Store.open(tmp_path / "results").has_trial(AS_IT_IS.id)
    assert run(Job(AS_IT_IS, {}, (WITHIN,)), tmp_path)[-1].phase == TrialPhase.DONE


@pytest.fixture
def pretrained(tmp_path: Path) -> Trial:
    """A trial whose weights are those of a network that was drawn elsewhere."""
    torch.manual_seed(1)
    state = import_timm().create_model("test_resnet.r160_in1k", pretrained=False).state_dict()
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    model = TimmModel("test_resnet.r160_in1k", pretrained=True, weights=str(path), protocol=Protocol.COMMON)
    return replace(AS_IT_IS, model=model)


def test_a_pretrained_network_has_the_random_one_as_its_reference(tmp_path: Path, pretrained: Trial) -> None:
    job = Job(pretrained, {}, (WITHIN,)).with_absolute_paths()
    assert run(job, tmp_path)[-1].phase == TrialPhase.DONE
    found = results(tmp_path / "results")
    measured = found.measurements.collect()
    assert measured["untrained"].null_count() == 0
    assert (measured["untrained"] != measured["value"]).all()
    random = replace(pretrained, model=pretrained.model.untrained)
    run(Job(random, {}, (WITHIN,)), tmp_path / "random")
    alone = results(tmp_path / "random" / "results").measurements.collect()
    calibrated = measured["untrained"].to_list()  # with the batch norms of these images
    assert alone["value"].to_list() != measured["value"].to_list()
    assert len(calibrated) == alone.height
    (row,) = found.trials.collect().to_dicts()
    assert row["trial"] == pretrained.id
    assert row["model.fingerprint"] == pretrained.model.fingerprint()


def test_other_weights_on_a_worker_are_refused(tmp_path: Path, pretrained: Trial) -> None:
    last = run(replace(Job(pretrained, {}, ()).with_absolute_paths(), model_fingerprint="other"), tmp_path)[-1]
    assert last.phase == TrialPhase.FAILED
    assert "Every worker must have the same weights as the plan" in (last.message or "")


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("noticed_by", ["checkpoint", "heartbeat"])
def test_results_that_are_lost_stop_a_trial_long_before_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noticed_by: str, whole: bool
) -> None:
    if noticed_by == "checkpoint":
        monkeypatch.setattr(trial_run, "MIN_SAVING_SECONDS", 0.0)
        monkeypatch.setattr(trial_run, "MAX_SAVING_SHARE", 1e9)
    else:
        monkeypatch.setattr(heartbeat, "WRITE_SECONDS", 0.0)
        monkeypatch.setattr(heartbeat, "RENEW_SECONDS", 0.01)
    trial = replace(TRIAL, recipe=Recipe(epochs=1000, batch_size=64))
    running = iter(TrialRun(Job(trial, {}, ()), conditions(tmp_path)))
    next(running)
    if whole:
        shutil.rmtree(tmp_path / "results")
    else:
        (tmp_path / "results/equistudy.json").unlink()
    epochs = []
    with pytest.raises(LostResultsError, match="Move them back" if whole else "Restore the file"):
        epochs.extend(progress.epoch for progress in running)
    assert max(epochs, default=0) < 900
    assert (tmp_path / "results").exists() is not whole  # no nameless folder comes back


def test_curves_measurements_weights_and_row_of_two_runs_do_not_mix(tmp_path: Path) -> None:
    job, store = Job(TRIAL, {}, (ACCURACY,)), Store.open(tmp_path / "results")
    first, second = TrialRun(job, conditions(tmp_path)), TrialRun(job, conditions(tmp_path))
    for one in zip(first, second, strict=True):
        assert one[0].phase == one[1].phase
    found = results(store.url)
    (row,) = found.attempts.to_dicts()
    assert row["writer"] in row["weights"]
    assert row["writer"] in {first.job.writer, second.job.writer}
    assert len(store.list_names("curves")) == len(store.list_names("measurements")) == 2
    curves = found.curves.collect()
    assert curves.height == curves.n_unique(["epoch", "split", "name"])
    assert found.measurements.collect().height == 1
