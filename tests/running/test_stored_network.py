"""Damaged or lost weights are never measured: the trial is trained again, and all its numbers are of one network.

A damaged checkpoint is set aside, and the trial ends with the numbers of one that was never disturbed.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.correlation import WithinCorrelation
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.results import results
from equistudy.results.sealing import DamagedFileError
from equistudy.results.store import Store
from equistudy.running import trial_run
from equistudy.running.job import Job, Provenance, RunConditions, TrialPhase
from equistudy.running.plan import PlanState, make_plan
from equistudy.running.stored_network import checkpoint_path, count_saved_steps, load_network
from equistudy.running.trial_run import TrialRun
from equistudy.study.design import Factor, factorial
from equistudy.study.study import Study
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

CPU = torch.device("cpu")
DIGITS = Digits(canvas=16, digit=8, train_size=64, test_size=64)
ACCURACY, WITHIN = Accuracy(), WithinCorrelation(Translation(max_pixels=1))


def trial(width: int, seed: int) -> Trial:
    recipe = Recipe(epochs=1, batch_size=32)
    return Trial(ResNet(8, width), DIGITS, Classification(), NoAugmentation(), recipe, seed)


DESIGN = factorial(trial, Factor("width", (2,)), seeds=[0])


def run_missing(folder: Path, *measures: object) -> tuple[list[PlanState], list[str]]:
    """Runs what the plan says; gives what the plan saw and the last phases."""
    plan = make_plan(Study("?", DESIGN, measures=measures), results(folder))
    where = RunConditions("study", Store.open(folder), Provenance(None, None, {}))
    ends = [list(TrialRun(job, where))[-1].phase for job in plan.build_jobs()]
    return [planned.state for planned in plan.trials], ends


def flip(place: float) -> Callable[[Path], None]:
    def flipped(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(place * (len(data) - 1))] ^= 1
        path.write_bytes(data)

    return flipped


def overwrite_with_others(path: Path) -> None:
    folder = path.parents[1] / "others"
    others = replace(trial(2, 0), seed=1)
    list(TrialRun(Job(others, {}, ()), RunConditions("s", Store.open(folder), Provenance(None, None, {}))))
    (other,) = (folder / "weights").glob(f"{others.id}.0.*.safetensors")
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: path.write_bytes(b"garbage"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-4]),
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        overwrite_with_others,
        *(flip(place) for place in (0.0, 0.3, 0.5, 0.9, 1.0)),
    ],
)
def test_lost_or_damaged_weights_are_trained_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    Store.open(tmp_path)
    assert run_missing(tmp_path, ACCURACY) == ([PlanState.MISSING], [TrialPhase.DONE])
    (before,) = results(tmp_path).attempts.to_dicts()
    damage(tmp_path / before["weights"])
    states, ends = run_missing(tmp_path, ACCURACY, WITHIN)
    assert states == [PlanState.UNMEASURED if damage is not Path.unlink else PlanState.MISSING]
    assert ends == [TrialPhase.DONE]
    (after,) = results(tmp_path).attempts.to_dicts()
    assert (after["status"], after["attempt"], after["scores"]) == ("done", 1, before["scores"])
    rows = results(tmp_path).measurements.collect()
    assert set(rows["measure_id"]) == {ACCURACY.id, WITHIN.id}
    assert set(rows["attempt"]) == {1}
    assert run_missing(tmp_path, ACCURACY, WITHIN) == ([PlanState.DONE], [])


def test_damaged_weights_are_set_aside_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    run_missing(tmp_path, ACCURACY)
    weights = results(tmp_path).attempts["weights"].item()
    flip(1.0)(tmp_path / weights)
    with pytest.raises(DamagedFileError, match=rf"got {weights}: its checksum does not match\. Delete it, and run"):
        load_network(Job(trial(2, 0), {}, (), weights=weights), store, CPU)
    assert store.list_names("damaged") == [weights.replace("/", ".")]
    with pytest.raises(FileNotFoundError, match="is missing from"):
        load_network(Job(trial(2, 0), {}, (), weights=weights), store, CPU)


TRIAL = Trial(ResNet(8, 2), DIGITS, Classification(), NoAugmentation(), Recipe(epochs=3, batch_size=32), seed=0)
JOB = Job(TRIAL, {}, (Accuracy(),))


def conditions(folder: Path) -> RunConditions:
    return RunConditions("study", Store.open(folder), Provenance(None, None, {}))


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The checkpoint of two epochs."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_run, "MIN_SAVING_SECONDS", 0)
        patch.setattr(trial_run, "MAX_SAVING_SHARE", 1e9)
        for progress in TrialRun(JOB, conditions(folder)):
            if progress.epoch == 2:
                break
    assert count_saved_steps(JOB, conditions(folder)) == 4
    return (folder / checkpoint_path(JOB)).read_bytes()


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The scores of a trial that nothing disturbs."""
    folder = tmp_path_factory.mktemp("straight")
    list(TrialRun(JOB, conditions(folder)))
    return str(results(folder).attempts["scores"].item())


def save(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def flip_bytes(place: float) -> Callable[[bytes], bytes]:
    def flipped(data: bytes) -> bytes:
        damaged = bytearray(data)
        damaged[int(place * (len(data) - 1))] ^= 1
        return bytes(damaged)

    return flipped


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"garbage",
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: save({"epoch": 2, "steps": 4}),
        lambda data: save(torch.zeros(3)),
        *(flip_bytes(place / 10) for place in range(11)),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_and_trained_again(
    damage: Callable[[bytes], bytes], interrupted: bytes, scores: str, tmp_path: Path
) -> None:
    store, damaged = Store.open(tmp_path), damage(interrupted)
    store.write_bytes(checkpoint_path(JOB), damaged)
    assert [progress.epoch for progress in TrialRun(JOB, conditions(tmp_path))] == [0, 1, 2, 3, 3, 3]
    (row,) = results(tmp_path).attempts.to_dicts()
    assert (row["status"], row["scores"], row["resumed"]) == ("done", scores, 0)
    assert store.read_bytes(f"damaged/checkpoints.{TRIAL.id}.0.pt") == damaged
    assert store.list_names("checkpoints") == []


def test_a_checkpoint_of_another_trial_or_version_is_damage_as_well(
    interrupted: bytes, scores: str, tmp_path: Path
) -> None:
    store = Store.open(tmp_path)
    store.write_bytes("checkpoints/t_other.0.pt", interrupted)
    assert store.read_sealed("checkpoints/t_other.0.pt") is None
    store.write_sealed(checkpoint_path(JOB), save({"epoch": 2, "steps": 4, "network": []}))
    assert list(TrialRun(JOB, conditions(tmp_path)))[-1].phase == TrialPhase.DONE
    assert results(tmp_path).attempts["scores"].item() == scores


def test_the_whole_one_is_continued(interrupted: bytes, scores: str, tmp_path: Path) -> None:
    Store.open(tmp_path).write_bytes(checkpoint_path(JOB), interrupted)
    first, *_ = TrialRun(JOB, conditions(tmp_path))
    assert first.epoch == 2
    (row,) = results(tmp_path).attempts.to_dicts()
    assert (row["scores"], row["resumed"]) == (scores, 1)


def test_a_checkpoint_without_steps_counts_as_none(tmp_path: Path) -> None:
    where = conditions(tmp_path)
    assert count_saved_steps(JOB, where) == 0
    where.store.write_sealed(checkpoint_path(JOB), save([1]))
    assert count_saved_steps(JOB, where) == 0
