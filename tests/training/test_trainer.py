import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.generators import RotationGenerator
from equistudy.augmentations.mixing import Mixup
from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.resident import load_resident
from equistudy.models.model import Model
from equistudy.models.resnet import ResNet
from equistudy.recipe import SGD, AdamW, Constant, Precision, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training import trainer as module
from equistudy.training.failures import DivergedError, NotANumberError
from equistudy.training.sources import Share
from equistudy.training.trainer import Trainer, build_network
from tests.training.two_workers import train_with_two_workers

CPU = torch.device("cpu")
DIGITS = Digits(canvas=16, digit=8, train_size=256)
LEARNED = LearnedAugmentation((RotationGenerator(),))
TRIAL = Trial(ResNet(8, 2), DIGITS, Classification(), RandomCrop(padding=2), Recipe(epochs=3, batch_size=64), seed=1)


@dataclass(frozen=True)
class Dropping(Model):
    """A network with dropout, which draws from torch's global random state."""

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> nn.Module:
        C, H, W = image_shape
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(C * H * W, num_outputs))


def trained(trial: Trial) -> Trainer:
    trainer = Trainer(trial, CPU)
    while not trainer.is_finished:
        trainer.train_epoch()
    return trainer


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in trainer.network.state_dict().values()])


@pytest.mark.parametrize(
    "trial",
    [
        TRIAL,
        replace(TRIAL, model=Dropping(), recipe=Recipe(epochs=3, optimiser=AdamW(), clip_norm=1.0)),
        replace(TRIAL, recipe=Recipe(epochs=3, precision=Precision.BFLOAT16, label_smoothing=0.1)),
    ],
)
def test_resuming_is_bit_identical(trial: Trial) -> None:
    straight = trained(trial)
    interrupted = Trainer(trial, CPU)
    interrupted.train_epoch()
    torch.rand(7)  # whatever else the process does with the global random state
    resumed = Trainer(trial, CPU)
    resumed.load(interrupted.state())
    while not resumed.is_finished:
        resumed.train_epoch()
    assert torch.equal(weights(straight), weights(resumed))
    assert straight.curves == resumed.curves


@pytest.mark.parametrize("augmentation", [RandomCrop(padding=2), Mixup(before=HorizontalFlip()), LEARNED], ids=str)
def test_resuming_within_an_epoch_is_bit_identical(augmentation: Augmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_STEPS", 3)
    trial = replace(TRIAL, model=Dropping(), augmentation=augmentation, recipe=Recipe(2, 32, average=0.9))
    states: list[tuple[int, int, bytes]] = []
    straight = Trainer(trial, CPU)
    while not straight.is_finished:
        straight.train_epoch(lambda: states.append((straight.epoch, straight.step, straight.state())))
    assert [state[:2] for state in states] == [(0, 3), (0, 6), (1, 3), (1, 6)]
    for epoch, step, state in states:
        resumed = Trainer(trial, CPU)
        resumed.load(state)
        assert resumed.images_seen == epoch * 256 + step * 32
        while not resumed.is_finished:
            resumed.train_epoch()
        assert torch.equal(weights(straight), weights(resumed))
        assert straight.curves == resumed.curves


def test_training_stops_where_its_loss_is_as_low_as_asked() -> None:
    recipe = Recipe(6, 64, schedule=Constant())
    losses = [value.value for value in trained(replace(TRIAL, recipe=recipe)).curves if value.name == "loss"][::2]
    asked = losses[2]
    stopped = trained(replace(TRIAL, recipe=replace(recipe, stop_loss=asked)))
    assert stopped.epoch == next(epoch for epoch, loss in enumerate(losses, 1) if loss <= asked) < 6
    assert [value.split for value in stopped.curves[-2:]] == ["test", "test"]
    again = Trainer(stopped.trial, CPU)
    again.load(stopped.state())
    assert again.is_finished


def test_the_average_is_what_is_evaluated_and_kept() -> None:
    trainer = trained(replace(TRIAL, recipe=Recipe(2, 64, average=0.99)))
    assert trainer.network is trainer.work.average
    assert not torch.equal(weights(trainer), weights(trained(replace(TRIAL, recipe=Recipe(2, 64)))))
    scores = {value.name: value.value for value in trainer.curves if value.split == "test"}
    assert trainer.evaluate() == scores


def test_a_trial_does_not_depend_on_what_the_process_did_before() -> None:
    first = trained(TRIAL)
    trained(replace(TRIAL, seed=2))
    assert torch.equal(weights(first), weights(trained(TRIAL)))


def test_training_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    trained(replace(TRIAL, model=Dropping()))
    assert torch.equal(before, torch.get_rng_state())


def test_replicates_differ_and_levels_share_their_initialisation() -> None:
    assert not torch.equal(weights(Trainer(TRIAL, CPU)), weights(Trainer(replace(TRIAL, seed=2), CPU)))
    other = build_network(replace(TRIAL, augmentation=NoAugmentation()), CPU)
    for mine, its in zip(build_network(TRIAL, CPU).parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_it_learns() -> None:
    trainer = trained(replace(TRIAL, model=ResNet(8, 8), augmentation=NoAugmentation(), recipe=Recipe(12, 32)))
    scores = {(value.split, value.name): value.value for value in trainer.curves}
    assert scores["test", "accuracy"] > 0.8
    first = next(value.value for value in trainer.curves if value.split == "train")
    assert scores["train", "loss"] < 0.5 * first
    assert trainer.images_seen == 12 * 256


def test_the_loss_of_the_first_step_is_the_cross_entropy() -> None:
    trainer = Trainer(replace(TRIAL, augmentation=NoAugmentation(), recipe=Recipe(1, batch_size=256)), CPU)
    network = build_network(trainer.trial, CPU).train()
    (total,) = list(trainer.run_steps())
    train = load_resident(DIGITS, Split.TRAIN, CPU)
    images = (train.inputs / 255 - DIGITS.mean[0]) / DIGITS.std[0]
    expected = nn.functional.cross_entropy(network(images), train.targets) * 256
    torch.testing.assert_close(total, expected.detach(), rtol=1e-4, atol=0)


def test_not_a_number_and_divergence_have_names() -> None:
    sgd = SGD(learning_rate=1e30, momentum=0.0, weight_decay=0.0)
    with pytest.raises(
        NotANumberError, match=r"The training loss is (nan|inf) after epoch \d.*Lower the learning rate"
    ):
        trained(replace(TRIAL, recipe=Recipe(2, optimiser=sgd, schedule=Constant())))
    trainer = Trainer(TRIAL, CPU)
    trainer.train_epoch()
    assert trainer._first_loss is not None
    with pytest.raises(DivergedError, match=r"grew from .* to .* by epoch 1, more than 100 times"):
        trainer._check_loss(101 * trainer._first_loss)


# at the default learning rate rounding grows a hundredfold in each epoch, with any number of workers
GENTLE = replace(TRIAL, recipe=Recipe(epochs=3, batch_size=64, optimiser=SGD(learning_rate=0.01)))


@pytest.mark.slow
def test_two_workers_follow_the_curve_of_one(tmp_path: Path) -> None:
    shared = train_with_two_workers(GENTLE, tmp_path)
    alone = trained(GENTLE).curves
    assert [value[:3] for value in shared] == [tuple(value)[:3] for value in alone]
    for its, mine in zip(shared, alone, strict=True):
        assert math.isclose(its[3], mine.value, rel_tol=1e-5), (its, mine)


def test_more_workers_than_samples_are_refused() -> None:
    trial = replace(TRIAL, recipe=Recipe(epochs=1, batch_size=1))
    with pytest.raises(ValueError, match=r"at least one sample of every batch, got 2 workers for batches of 1"):
        Trainer(trial, CPU, Share(0, 2))
