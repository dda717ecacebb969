"""Networks whose equivariance is known, and smooth images to measure them with."""

from collections.abc import Sequence
from typing import Protocol

import pytest
import torch
from torch import nn

from equistudy.measuring.measure import Subject


class Convolutions(Protocol):
    def __call__(self, strides: Sequence[int], padding_mode: str, channels: int = 6) -> nn.Sequential: ...


class MakesSubject(Protocol):
    def __call__(self, network: nn.Module, images: torch.Tensor, **stages: str) -> Subject: ...


@pytest.fixture
def convolutions() -> Convolutions:
    """Random 3 x 3 convolutions in float64, each followed by a ReLU."""

    def build(strides: Sequence[int], padding_mode: str, channels: int = 6) -> nn.Sequential:
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for number, stride in enumerate(strides):
            before = channels if number else 1
            layers += [nn.Conv2d(before, channels, 3, stride, 1, padding_mode=padding_mode), nn.ReLU()]
        return nn.Sequential(*layers).double()

    return build


@pytest.fixture
def smooth_images() -> torch.Tensor:
    """64 different images of 48 x 48 pixels: blurred noise of different brightness."""
    noise = torch.rand(64, 1, 52, 52, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return nn.functional.avg_pool2d(noise, 5, 1) + torch.linspace(0, 2, 64, dtype=torch.float64)[:, None, None, None]


@pytest.fixture
def subject() -> MakesSubject:
    """A network with its last module as the only stage unless others are named."""

    def build(network: nn.Module, images: torch.Tensor, **stages: str) -> Subject:
        names = stages or {"last": str(len(list(network.children())) - 1)}
        targets = torch.arange(len(images)) % 3
        return Subject(network, names, images, targets, (0.5,), (0.25,), None, None, 0)

    return build
