"""The pilot counts steps, evaluations and images rightly; a fake clock stands for the time they take."""

from dataclasses import replace

import pytest
import torch

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.measuring.measure import MeasuringResult
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training import pilot, trainer
from equistudy.training.pilot import estimate_trial_seconds
from equistudy.training.step import TrainingStep

DIGITS = Digits(canvas=16, digit=8, train_size=256)
TRIAL = Trial(ResNet(8, 2), DIGITS, Classification(), NoAugmentation(), Recipe(epochs=3, batch_size=64), seed=1)
STEP, EVALUATION, OVERHEAD, IMAGE = 2.0, 5.0, 7.0, 0.25


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only the work of a trial moves; the first piece of each kind takes ten times as long."""
    now = [0.0]
    warm: set[str] = set()

    def work(kind: str, seconds: float) -> None:
        now[0] += seconds * (1 if kind in warm else 10)
        warm.add(kind)

    take = TrainingStep.run

    def slow_step(self, batch, factor):
        work("step", STEP)
        return take(self, batch, factor)

    def evaluate(self):
        now[0] += EVALUATION
        return {}

    def measure(measures, subject):
        work("measure", OVERHEAD + IMAGE * len(subject.images))
        assert len(subject.images) == len(subject.targets)
        return MeasuringResult([], [])

    monkeypatch.setattr(pilot.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(TrainingStep, "run", slow_step)
    monkeypatch.setattr(trainer.Trainer, "evaluate", evaluate)
    monkeypatch.setattr(pilot, "measure_all", measure)
    return now


@pytest.mark.parametrize(("epochs", "evaluations"), [(1, 1), (3, 3), (10, 10), (25, 9), (200, 10)])
def test_the_cost_is_that_of_all_steps_evaluations_and_images(clock, epochs: int, evaluations: int) -> None:
    trial = replace(TRIAL, recipe=replace(TRIAL.recipe, epochs=epochs))
    measuring = OVERHEAD + 597 * IMAGE
    assert estimate_trial_seconds(trial) == pytest.approx(epochs * 4 * STEP + evaluations * EVALUATION + measuring)


def test_an_epoch_of_one_batch_is_enough(clock) -> None:
    trial = replace(TRIAL, recipe=replace(TRIAL.recipe, batch_size=256))
    cold = 10 * STEP
    assert estimate_trial_seconds(trial) == pytest.approx(3 * cold + 3 * EVALUATION + OVERHEAD + 597 * IMAGE)


def test_the_pilot_leaves_no_trace() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    assert 0 < estimate_trial_seconds(TRIAL) < 60
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_the_number_of_evaluations_is_that_of_the_trainer() -> None:
    for epochs in (1, 9, 15):
        network = trainer.Trainer(
            replace(TRIAL, recipe=replace(TRIAL.recipe, epochs=epochs, batch_size=256)), torch.device("cpu")
        )
        while not network.is_finished:
            network.train_epoch()
        looked = sum(value.name == "loss" and value.split == "test" for value in network.curves)
        assert looked == pilot.count_evaluations(epochs)


def test_what_is_not_trained_costs_its_measuring_alone(clock) -> None:
    trial = replace(TRIAL, recipe=replace(TRIAL.recipe, epochs=0))
    assert estimate_trial_seconds(trial) == pytest.approx(OVERHEAD + 597 * IMAGE)
