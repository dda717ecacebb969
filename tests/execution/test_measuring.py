"""Networks measured by Ray workers: the same bits for any number of them, and nothing lost when they are stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.execution.cluster import Resources
from equistudy.execution.measuring import NetworkProgress, _run_on_workers, measure_networks, start_ray_workers
from equistudy.groups.one_parameter import Rotation
from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.consistency import ShiftConsistency
from equistudy.measures.correlation import BetweenCorrelation, WithinCorrelation
from equistudy.measuring.measure import MeasuringResult
from equistudy.models.model import Model
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.results.store import Store
from equistudy.running.job import Job, Provenance, RunConditions
from equistudy.running.network_run import NetworkRun
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

DIGITS = Digits(canvas=16, digit=8, test_size=150)
SHIFTS, TURNS = Translation(max_pixels=2), Rotation()
MEASURES = (
    Accuracy(),
    WithinCorrelation(SHIFTS),
    BetweenCorrelation(SHIFTS),
    ShiftConsistency(SHIFTS),
    WithinCorrelation(TURNS),
)


def job(model: Model, **values: Any) -> Job:
    trial = Trial(model, DIGITS, Classification(), NoAugmentation(), Recipe(epochs=0), 0)
    return replace(Job(trial, {}, MEASURES).with_absolute_paths(), **values)


JOBS = [job(ResNet(8, width)) for width in (2, 4)]


@pytest.fixture
def conditions(tmp_path: Path) -> RunConditions:
    return RunConditions("measure", Store.open(tmp_path / "results"), Provenance(None, None, {}))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_one_worker_and_four_give_the_same_bits(conditions: RunConditions, tmp_path: Path) -> None:
    found: dict[int, dict[str, MeasuringResult]] = {0: measure_networks(JOBS, conditions)}
    for number in (1, 4):
        told: list[NetworkProgress] = []
        elsewhere = replace(conditions, store=Store.open(tmp_path / str(number)))
        with start_ray_workers(elsewhere, Resources(cpus=0.25, gpus=0, max_concurrent=number)) as (there, workers):
            assert len(workers) == there.workers == number
            found[number] = measure_networks(JOBS, there, workers, told.append)
        for each in JOBS:
            assert [advance.done for advance in told if advance.job == each] == list(range(12))
        assert {advance.total for advance in told} == {11}
    assert found[0].keys() == {each.trial.id for each in JOBS}
    for name, result in found[0].items():
        assert len(result.rows) > 40
        assert found[1][name] == result  # equal numbers, not near ones
        assert found[4][name] == result


@pytest.mark.slow
def test_a_stop_between_two_shards_loses_nothing(conditions: RunConditions) -> None:
    seen: list[int] = []
    stopped = measure_networks(
        JOBS, conditions, tell=lambda advance: seen.append(advance.done), asked=lambda: len(seen) > 15
    )
    assert stopped.keys() == {JOBS[0].trial.id}
    assert conditions.store.list_statuses() == {JOBS[0].trial.id: "done"}
    seen.clear()
    rest = measure_networks(JOBS[1:], conditions, tell=lambda advance: seen.append(advance.total))
    assert seen[0] < 11
    assert rest == measure_networks(JOBS[1:], replace(conditions, store=Store.open(conditions.store.url + "2")))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_an_error_of_a_worker_is_raised_here(conditions: RunConditions) -> None:
    first = next(NetworkRun(JOBS[0], conditions).iterate_tasks())
    elsewhere = first._replace(job=replace(first.job, fingerprint="other"))
    with (
        start_ray_workers(conditions, Resources(cpus=0.25, gpus=0, max_concurrent=1)) as (_, workers),
        pytest.raises(OSError, match="Every worker must have the same data as the plan"),
    ):
        list(_run_on_workers(iter([elsewhere]), workers))
