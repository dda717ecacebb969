"""The digest of an architecture: equal for equal networks however they were trained, another for any other one."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from equistudy.networks.architecture import compute_network_digest
from equistudy.training.batch_norm import convert_to_global_batch_norm


def build(
    width: int = 4, stride: int = 1, probability: float = 0.5, activation: type[nn.Module] = nn.ReLU
) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=stride), nn.BatchNorm2d(width), activation(), nn.Dropout(probability)
    )


def test_neither_weights_nor_training_nor_workers_enter() -> None:
    network = build()
    digest = compute_network_digest(network)
    with torch.no_grad():
        network.eval()[0].weight.zero_()
    assert compute_network_digest(network.double()) == digest
    assert compute_network_digest(convert_to_global_batch_norm(build(), torch.device("cpu"))) == digest
    assert compute_network_digest(convert_to_global_batch_norm(build(), torch.device("cuda"))) == digest


@pytest.mark.parametrize(
    "other",
    [
        lambda: build(width=5),
        lambda: build(stride=2),
        lambda: build(probability=0.1),
        lambda: build(activation=nn.GELU),
        lambda: nn.Sequential(build()),
        lambda: nn.Sequential(*build(), nn.Identity()),
    ],
    ids=["width", "stride", "setting", "class", "names", "depth"],
)
def test_every_other_network_has_another(other: Callable[[], nn.Module]) -> None:
    assert compute_network_digest(other()) != compute_network_digest(build())
