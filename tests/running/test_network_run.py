"""One network shard by shard: its tasks in order, and the rows that follow from their results, also after a kill."""

import json
from pathlib import Path
from typing import Any

import pytest

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.execution.measuring import MeasuringWorker, measure_networks
from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.consistency import ShiftConsistency
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measures.selectivity import NormalisedVariance
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.results import results
from equistudy.results.store import Store
from equistudy.running import network_run
from equistudy.running.job import Job, Provenance, RunConditions
from equistudy.running.network_run import NetworkRun
from equistudy.running.trial_run import TrialRun
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

DIGITS = Digits(canvas=16, digit=8, train_size=64, test_size=80)
AS_IT_IS = Trial(ResNet(8, 2), DIGITS, Classification(), NoAugmentation(), Recipe(epochs=0), seed=0)
TRAINED = Trial(ResNet(8, 2), DIGITS, Classification(), NoAugmentation(), Recipe(epochs=1, batch_size=64), seed=0)
SHIFTS = Translation(max_pixels=1)
MEASURES = (
    Accuracy(),
    WithinCorrelation(SHIFTS),
    BetweenCorrelation(SHIFTS),
    ShiftConsistency(SHIFTS),
    NormalisedVariance(SHIFTS),
)


def conditions(folder: Path) -> RunConditions:
    return RunConditions("measure", Store.open(folder), Provenance("abc", False, {}))


def rows(folder: Path) -> Any:
    found = results(folder).measurements.collect().drop("seconds", "trial", "attempt")
    return found.sort("measure", "stage", "element")


def test_a_network_as_it_is_has_the_rows_that_a_study_gives_it(tmp_path: Path) -> None:
    job = Job(AS_IT_IS, {"network": "tiny"}, MEASURES)
    found = measure_networks([job], conditions(tmp_path / "shards"))[AS_IT_IS.id]
    assert list(TrialRun(job, conditions(tmp_path / "study")))[-1].message is None
    assert rows(tmp_path / "shards").height == len(found.rows) > 20
    assert rows(tmp_path / "shards").equals(rows(tmp_path / "study"))
    (row,) = results(tmp_path / "shards").trials.collect().to_dicts()
    (other,) = results(tmp_path / "study").trials.collect().to_dicts()
    for name in ("trial", "status", "study", "epochs", "weights", "network", "skipped", "parameters", "fingerprint"):
        assert row[name] == other[name]
    assert json.loads(row["skipped"]) == [absent._asdict() for absent in found.skipped]
    assert Store.open(tmp_path / "shards").list_names("measuring") == []


def test_a_trained_network_is_measured_beside_its_untrained_self(tmp_path: Path) -> None:
    kept = conditions(tmp_path / "results")
    list(TrialRun(Job(TRAINED, {}, MEASURES[:1]), kept))
    (row,) = results(tmp_path / "results").trials.collect().to_dicts()
    measure_networks([Job(TRAINED, {}, MEASURES[1:], weights=row["weights"], writer=row["writer"])], kept)
    list(TrialRun(Job(TRAINED, {}, MEASURES), conditions(tmp_path / "together")))
    assert rows(tmp_path / "results").equals(rows(tmp_path / "together"))
    assert rows(tmp_path / "results").filter(measure="within_correlation")["untrained"].null_count() == 0
    assert results(tmp_path / "results").trials.collect().height == 1


def test_shards_that_are_done_are_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, straight, killed = Job(AS_IT_IS, {}, MEASURES), tmp_path / "straight", tmp_path / "killed"
    measure_networks([job], conditions(straight))
    monkeypatch.setattr(network_run, "MIN_SAVING_SECONDS", 0)
    monkeypatch.setattr(network_run, "MAX_SAVING_SHARE", 1e9)
    run, worker = NetworkRun(job, conditions(killed)), MeasuringWorker(conditions(killed))
    tasks = list(run.iterate_tasks())
    assert [task.images for task in tasks] == [None, range(32), range(32, 64), range(64, 80)]
    for task in tasks[:3]:
        run.add_result(task, worker.run_task(task))
    assert len(Store.open(killed).list_names("measuring")) == 1
    done: list[range | None] = []
    monkeypatch.setattr(
        MeasuringWorker,
        "run_task",
        lambda self, task, do=MeasuringWorker.run_task: (done.append(task.images), do(self, task))[1],
    )
    measure_networks([job], conditions(killed))  # the process of `run` has died
    assert done == [None, range(64, 80)]
    assert rows(killed).equals(rows(straight))
    assert Store.open(killed).list_names("measuring") == []


def test_what_was_kept_for_other_measures_is_left_alone(tmp_path: Path) -> None:
    kept = conditions(tmp_path)
    first = NetworkRun(Job(AS_IT_IS, {}, MEASURES[1:2]), kept)
    task = next(first.iterate_tasks())
    first.add_result(task, MeasuringWorker(kept).run_task(task))
    first.save()
    other = NetworkRun(Job(AS_IT_IS, {}, MEASURES[1:3]), kept)
    assert (NetworkRun(first.job, kept).total, other.total) == (2, 3)


@pytest.mark.slow
def test_damaged_sums_are_set_aside_and_measured_again(tmp_path: Path) -> None:
    job, straight = Job(AS_IT_IS, {}, MEASURES[1:2]), tmp_path / "straight"
    measure_networks([job], conditions(straight))
    for number, damage in enumerate((lambda data: b"garbage", lambda data: data[:-1] + bytes([data[-1] ^ 1]))):
        folder = tmp_path / str(number)
        first = NetworkRun(job, conditions(folder))
        task = next(first.iterate_tasks())
        first.add_result(task, MeasuringWorker(conditions(folder)).run_task(task))
        first.save()
        (name,) = Store.open(folder).list_names("measuring")
        path = folder / "measuring" / name
        path.write_bytes(damage(path.read_bytes()))
        assert NetworkRun(job, conditions(folder)).total == first.total == 3
        assert (folder / "damaged" / f"measuring.{name}").is_file()
        measure_networks([job], conditions(folder))
        assert rows(folder).equals(rows(straight))

    folder = tmp_path / "whole"
    first = NetworkRun(job, conditions(folder))
    first.save()
    task = next(first.iterate_tasks())
    first.add_result(task, MeasuringWorker(conditions(folder)).run_task(task))
    first.save()
    (name,) = Store.open(folder).list_names("measuring")
    Store.open(folder).write_sealed(f"measuring/{name}", b"of another version")
    assert NetworkRun(job, conditions(folder)).total == 3
