"""Full float32: asked for within its block only, and wherever a network is trained, evaluated or measured."""

import pytest
import torch
from torch import nn

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.float32 import use_full_float32
from equistudy.measuring.stages import evaluation_mode
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.trainer import Trainer


def precisions() -> list[str]:
    backends = torch.backends
    return [each.fp32_precision for each in (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)]


def test_within_its_block_only() -> None:
    before = precisions()
    with use_full_float32():
        assert precisions() == ["ieee"] * 3
    assert precisions() == before != ["ieee"] * 3


class Watching(nn.Module):
    """Keeps what every forward and every backward pass is computed in."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.seen = inner, []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.seen.append(precisions())
        outputs: torch.Tensor = self.inner(inputs)
        if outputs.requires_grad:
            outputs.register_hook(lambda gradient: self.seen.append(precisions()))
        return outputs


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[Watching]:
    made: list[Watching] = []
    build = ResNet.build

    def watching(*arguments: object) -> nn.Module:
        made.append(Watching(build(*arguments)))
        return made[-1]

    monkeypatch.setattr(ResNet, "build", watching)
    return made


def test_where_networks_are_trained_and_evaluated(watched: list[Watching]) -> None:
    recipe = Recipe(epochs=1, batch_size=32)
    trial = Trial(
        ResNet(8, 2), Digits(16, 8, train_size=64, test_size=40), Classification(), NoAugmentation(), recipe, 0
    )
    before = precisions()
    Trainer(trial, torch.device("cpu")).train_epoch()
    assert len(watched[0].seen) == 5  # two forwards, two backwards and an evaluation
    assert all(each == ["ieee"] * 3 for each in watched[0].seen)
    assert precisions() == before


def test_where_networks_are_measured() -> None:
    network = Watching(nn.Identity())
    with evaluation_mode(network):
        network(torch.zeros(1, 1))
    assert network.seen == [["ieee"] * 3]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_convolutions_on_a_gpu_keep_their_bits() -> None:
    generator = torch.Generator().manual_seed(0)
    images, kernels = (torch.randn(shape, generator=generator) for shape in ((4, 64, 16, 16), (64, 64, 3, 3)))
    exact = nn.functional.conv2d(images.double(), kernels.double())
    with use_full_float32():
        found = nn.functional.conv2d(images.cuda(), kernels.cuda()).cpu()
    assert (found - exact).norm() / exact.norm() < 1e-6
