"""The module that deviates first, and features before a head."""

import pytest
import torch
from torch import nn

from equistudy.exactness.culprits import are_features_exact, find_first_deviation
from equistudy.exactness.numerics import NumericalJudge
from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.models.preactivation_resnet import PreactivationResNet
from equistudy.networks.choices import Head
from tests.exactness.small_networks import stacked

TURN, MIRROR = (90.0, 0.0), (0.0, 1.0)


@pytest.mark.parametrize("place", [1, 2, 3])
def test_the_first_module_that_deviates_is_named(place: int) -> None:
    layers: list[nn.Module] = [nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True)]
    network = stacked(*layers[:place], lambda x: x.cumsum(3), *layers[place:])
    judge = NumericalJudge(network, DihedralGroup(4), 3)
    assert find_first_deviation(judge, 9, 9, TURN) == str(place)
    assert find_first_deviation(judge, 9, 9, MIRROR) == str(place)


def test_where_no_module_deviates_it_is_the_network() -> None:
    judge = NumericalJudge(nn.Sequential(nn.Conv2d(3, 4, 3)), DihedralGroup(4), 3)
    assert find_first_deviation(judge, 9, 9, TURN) == "(the network itself)"
    flat = NumericalJudge(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 9, 2)), DihedralGroup(4), 3)
    assert find_first_deviation(flat, 8, 9, MIRROR) == "0"


def test_features_before_a_head_are_compared_without_it() -> None:
    network = PreactivationResNet(8, 2, CyclicGroup(4), head=Head.ORIENTED).build((3, 9, 9), 3)
    judge = NumericalJudge(network, CyclicGroup(4), 3)
    assert not judge.is_exact(9, 9)
    assert are_features_exact(judge, 9, 9, {"classifier"})
    assert not are_features_exact(judge, 8, 8, {"classifier"})
    flat = NumericalJudge(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 2)), DihedralGroup(4), 3)
    assert are_features_exact(flat, 8, 8, {"2"})
    assert not are_features_exact(flat, 9, 9, {"2"})  # refused
    assert torch.is_grad_enabled()
