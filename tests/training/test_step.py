"""One step: parts add up to the whole, averages follow, and what torch cannot compile runs as it is."""

import warnings
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.mixing import Mixup
from equistudy.datasets.digits import Digits
from equistudy.models.model import Model
from equistudy.models.resnet import ResNet
from equistudy.recipe import SGD, Constant, RateScaling, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.batches import iterate_training_batches
from equistudy.training.sources import SINGLE_WORKER, build_source
from equistudy.training.step import NotCompiledWarning, TrainingStep, enforce_determinism
from equistudy.training.trainer import build_network

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Exact(Model):
    """A small network in float64 without batch norm."""

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> nn.Module:
        C, H, W = image_shape
        body = nn.Sequential(nn.Conv2d(C, 4, 3, stride=4), nn.GELU(), nn.Flatten(), nn.LazyLinear(num_outputs)).double()
        body(torch.zeros(1, C, H, W).double())
        return Widened(body)


class Widened(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images.double())


SLOW = SGD(learning_rate=0.01, momentum=0.9)
RECIPE = Recipe(1, 50, SLOW, Constant(), label_smoothing=0.1)
DIGITS = Digits(canvas=16, digit=8, train_size=200)
TRIAL = Trial(Exact(), DIGITS, Classification(), NoAugmentation(), RECIPE, seed=0)


def stepped(trial: Trial, micro_batch: int | None = None) -> tuple[TrainingStep, list[float]]:
    step = TrainingStep(trial, build_network(trial, CPU), SINGLE_WORKER, micro_batch)
    losses = [float(step.run(batch, 1.0)) for batch in iterate_training_batches(build_source(DIGITS, CPU), trial, 0)]
    return step, losses


def weights(step: TrainingStep) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in step.network.state_dict().values()])


@pytest.mark.parametrize("augmentation", [NoAugmentation(), Mixup()], ids=str)
@pytest.mark.parametrize("micro_batch", [1, 7, 25, 49])
def test_accumulated_gradients_are_those_of_the_whole_batch(micro_batch, augmentation):
    trial = replace(TRIAL, augmentation=augmentation, recipe=replace(RECIPE, clip_norm=0.1))
    (whole, losses), (parts, its_losses) = stepped(trial), stepped(trial, micro_batch)
    # outputs are float32 in the loss: agreement to its rounding, and no better
    torch.testing.assert_close(weights(whole), weights(parts), rtol=1e-5, atol=1e-7)
    assert losses == pytest.approx(its_losses, rel=1e-5)


@pytest.mark.slow
def test_batch_norms_see_the_parts_alone():
    trial = replace(TRIAL, model=ResNet(8, 2))
    assert not torch.allclose(weights(stepped(trial)[0]), weights(stepped(trial, 10)[0]), atol=1e-4)


def test_parts_are_no_larger_than_asked_for_and_the_same_on_every_worker():
    step = TrainingStep(TRIAL, build_network(TRIAL, CPU), SINGLE_WORKER, 8)
    assert [step._count_parts(total) for total in (1, 8, 9, 50)] == [1, 1, 2, 7]
    step.share = SINGLE_WORKER._replace(workers=2)
    assert [step._count_parts(total) for total in (2, 16, 17, 50)] == [1, 1, 2, 4]


def test_the_average_follows_the_weights_as_the_recursion_says():
    trial = replace(TRIAL, model=ResNet(8, 2), recipe=replace(RECIPE, average=0.5))
    step = TrainingStep(trial, build_network(trial, CPU), SINGLE_WORKER, None)
    expected = {name: value.clone() for name, value in step.network.state_dict().items()}
    for number, batch in enumerate(iterate_training_batches(build_source(DIGITS, CPU), trial, 0), 1):
        step.run(batch, 1.0)
        decay = min(0.5, (1 + number) / (10 + number))
        for name, value in step.network.state_dict().items():
            mixed = decay * expected[name] + (1 - decay) * value
            expected[name] = mixed if value.is_floating_point() else value.clone()
    assert step.average is not None
    for name, value in step.average.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert not any(parameter.requires_grad for parameter in step.average.parameters())


@pytest.mark.parametrize(
    ("scaling", "factor"), [(RateScaling.NONE, 1), (RateScaling.LINEAR, 2), (RateScaling.SQUARE_ROOT, 2**0.5)]
)
def test_the_learning_rate_follows_the_batch(scaling, factor):
    trial = replace(TRIAL, recipe=replace(RECIPE, scaling=scaling, base_batch=25))
    step, _ = stepped(trial)
    assert step.optimiser.param_groups[0]["lr"] == pytest.approx(0.01 * factor)


def test_what_cannot_be_compiled_runs_as_it_is_and_says_so(monkeypatch):
    def failing(module):
        def called(*given):
            raise torch._dynamo.exc.TorchDynamoException("no compiler\nat all")

        return called

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.warns(NotCompiledWarning, match=r"torch\.compile failed; training continues without it: no compiler$"):
        step, losses = stepped(replace(TRIAL, recipe=replace(RECIPE, compiled=True)))
    assert not step.compiled
    assert losses == stepped(TRIAL)[1]


def test_a_compiled_network_is_called():
    calls = []

    def compiled(module):
        return lambda *given: calls.append(len(given[0])) or module(*given)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(torch, "compile", compiled)
        step, losses = stepped(replace(TRIAL, recipe=replace(RECIPE, compiled=True)))
    assert step.compiled
    assert calls == [50] * 4
    assert losses == stepped(TRIAL)[1]


def test_deterministic_algorithms_are_asked_for_within_only():
    with enforce_determinism(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with enforce_determinism(False):
        assert not torch.are_deterministic_algorithms_enabled()
