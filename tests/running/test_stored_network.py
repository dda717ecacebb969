"""Damaged or lost weights are never measured: the trial is trained again, and all its numbers are of one network."""

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
from equistudy.running.job import Job, Provenance, RunConditions, TrialPhase
from equistudy.running.plan import PlanState, make_plan
from equistudy.running.stored_network import load_network
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
