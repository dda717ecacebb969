"""One pass without data: names, copies, refusals."""

import pytest
import torch
from torch import nn

from equistudy.exactness.trace import RefusedError, SymmetryTracer, copy_network
from equistudy.groups.finite import DihedralGroup
from tests.exactness.small_networks import Calls, stacked


def test_layers_are_named_by_their_path() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)))
    tracer = SymmetryTracer(network, DihedralGroup(4), 3)
    assert [finding.name for finding in tracer.find_breaking_layers(9, 9)] == ["1.1"]
    assert tracer.find_breaking_layers(8, 8) == []
    assert tracer.period == 2


def test_a_layer_that_runs_twice_is_found_once() -> None:
    half = nn.MaxPool2d(2, 1)
    network = stacked(nn.Conv2d(3, 4, 3), Calls(lambda x, pool: pool(pool(x[:, :, ::2, ::2])), half))
    assert [finding.name for finding in SymmetryTracer(network, DihedralGroup(4), 3).find_breaking_layers(10, 10)] == [
        "1"
    ]


def test_what_concerns_no_element_of_the_group_is_not_told() -> None:
    network = nn.Conv2d(3, 4, (1, 3), padding=(0, 1))
    assert SymmetryTracer(network, DihedralGroup(2), 3).find_breaking_layers(8, 8) == []
    assert len(SymmetryTracer(network, DihedralGroup(4), 3).find_breaking_layers(8, 8)) == 1


def test_a_size_that_is_not_taken_is_refused() -> None:
    tracer = SymmetryTracer(nn.Conv2d(3, 4, 5), DihedralGroup(4), 3)
    assert not tracer.accepts_size(4)
    assert not tracer.is_exact(4)
    assert tracer.accepts_size(5)
    with pytest.raises(RefusedError, match="RuntimeError"):
        tracer.find_breaking_layers(4, 4)


def test_the_network_itself_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    SymmetryTracer(network, DihedralGroup(4), 3).find_breaking_layers(8, 8)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network[0]._forward_hooks


def test_a_replica_shares_what_the_network_shares() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    copied = copy_network(network, lambda tensor: tensor.double())
    assert copied[1].weight is copied[0].weight
    assert copied[0].weight.dtype is torch.float64
    assert network[0].weight.dtype is torch.float32
