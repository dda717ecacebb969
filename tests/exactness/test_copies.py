"""Copies: what they share, what is random in them, and the tensors in outputs of any form.

Parameters, and what is computed from them, against fixed filters.
"""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from equistudy.exactness.copies import (
    RefusedError,
    copy_network,
    describe_error,
    find_groups,
    is_learned,
    iterate_tensors,
    mark_parameters,
    randomise_weights,
)
from equistudy.exactness.elements import move_image
from equistudy.exactness.numerics import FilterRecorder, measure_deviations
from equistudy.exactness.precision import run_in_float64
from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.models.preactivation_resnet import PreactivationResNet
from tests.exactness.small_networks import Calls


def test_a_copy_shares_what_the_network_shares() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    copied = copy_network(network, lambda tensor: tensor.double())
    assert copied[1].weight is copied[0].weight
    assert copied[0].weight.dtype is torch.float64
    assert network[0].weight.dtype is torch.float32


def test_pruned_networks_and_those_with_norms_of_weights_are_copied() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), weight_norm(nn.Conv2d(4, 4, 3)))
    prune.random_unstructured(network[0], "weight", amount=0.5)
    images = torch.randn(1, 3, 8, 8)
    copied = copy_network(network, lambda tensor: tensor.double())
    torch.testing.assert_close(copied(images.double()).float(), network(images))


def test_weights_that_hide_faults_become_random_and_others_stay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    nn.init.zeros_(network[2].weight)
    nn.init.normal_(network[3].weight, std=1e-6)
    randomised = randomise_weights(network, 0)
    assert torch.equal(randomised[0].weight, network[0].weight.double())
    for number in (1, 2, 3):
        assert float(randomised[number].weight.detach().std()) > 0.1
    assert network.training
    assert torch.equal(network[1].weight, torch.ones(4))


def test_statistics_follow_the_first_features() -> None:
    norm = randomise_weights(nn.BatchNorm2d(3), 0)
    features = 100 + 7 * torch.randn(1, 3, 16, 16, dtype=torch.float64)
    assert norm(features).abs().max() < 10
    assert torch.equal(norm(features), norm(features))


@dataclasses.dataclass
class Output:
    first: torch.Tensor
    rest: dict[str, list[torch.Tensor]]


def test_tensors_are_found_in_nested_outputs() -> None:
    tensors = [torch.tensor(float(number)) for number in range(4)]
    output = (Output(tensors[0], {"a": [tensors[1]], "b": []}), [tensors[2], None, "text"], tensors[3])
    assert list(iterate_tensors(output)) == tensors
    assert list(iterate_tensors(Output)) == []


def test_groups_are_those_of_group_convolutions() -> None:
    network = PreactivationResNet(8, 2, CyclicGroup(4)).build((3, 9, 9), 2)
    assert find_groups(network) == [CyclicGroup(4)]
    assert find_groups(nn.Conv2d(3, 3, 3)) == []


def test_an_error_is_quoted_without_its_full_stop() -> None:
    assert describe_error(RefusedError("It is too small.")) == "RefusedError: It is too small"
    with pytest.raises(RefusedError, match="small"):
        raise RefusedError("small")


SOBEL = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])


class Fixed(nn.Module):
    """One filter for every channel, which is not learned."""

    def __init__(self, kernel: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        filters = self.kernel.to(x).expand(x.shape[1], 1, 3, 3)
        return F.conv2d(x, filters, padding=1, groups=x.shape[1])


def learned_filters(network: nn.Module) -> list[bool]:
    network = network.double()
    mark_parameters(network)
    recorder = FilterRecorder()
    with run_in_float64(recorder):
        network(torch.randn(1, 3, 8, 8, dtype=torch.float64))
    return [is_learned(filters) for filters in recorder.filters]


def test_filters_are_learned_if_they_come_from_parameters() -> None:
    frozen = nn.Conv2d(3, 3, 3).requires_grad_(False)
    standardised = Calls(lambda x, conv: F.conv2d(x, (conv.weight - conv.weight.mean()) / conv.weight.std()), frozen)
    network = nn.Sequential(frozen, Fixed(SOBEL), weight_norm(nn.Conv2d(3, 3, 3, padding=1)), standardised)
    assert learned_filters(network) == [True, False, True, True]


def test_fixed_filters_stay_and_learned_ones_move() -> None:
    image = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    assert max(measure_deviations(nn.Conv2d(3, 3, 3), image, DihedralGroup(4)).values()) < 1e-13
    errors = measure_deviations(Fixed(SOBEL), image, DihedralGroup(4))
    for row, error in errors.items():
        assert (error < 1e-13) == torch.equal(move_image(SOBEL, row), SOBEL)
    blur = torch.tensor([1.0, 2.0, 1.0])
    assert max(measure_deviations(Fixed(blur[:, None] * blur), image, DihedralGroup(4)).values()) < 1e-13
