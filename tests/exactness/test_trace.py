"""Passes with and without numbers: names, refusals, what is left alone."""

import pytest
import torch
from torch import nn

from equistudy.exactness.copies import RefusedError
from equistudy.exactness.trace import SymmetryTracer
from equistudy.groups.finite import DihedralGroup
from tests.exactness.small_networks import Calls, stacked


def image(size: int) -> torch.Tensor:
    return torch.randn(1, 3, size, size, dtype=torch.float64)


def doubled(network: nn.Module) -> nn.Module:
    return network.double().eval()


def test_layers_are_named_by_their_path() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)))
    tracer = SymmetryTracer(doubled(network), DihedralGroup(4), 3)
    assert [finding.name for finding in tracer.find_breaking_layers(image(9))] == ["1.1"]
    assert tracer.find_breaking_layers(image(8)) == []
    assert tracer.period == 2


def test_a_layer_that_runs_twice_is_found_once() -> None:
    half = nn.MaxPool2d(2, 1)
    network = stacked(nn.Conv2d(3, 4, 3), Calls(lambda x, pool: pool(pool(x[:, :, ::2, ::2])), half))
    tracer = SymmetryTracer(doubled(network), DihedralGroup(4), 3)
    assert [finding.name for finding in tracer.find_breaking_layers(image(10))] == ["1"]


def test_what_concerns_no_element_of_the_group_is_not_told() -> None:
    network = nn.Conv2d(3, 4, (1, 3), padding=(0, 1))
    assert SymmetryTracer(doubled(network), DihedralGroup(2), 3).find_breaking_layers(image(8)) == []
    assert len(SymmetryTracer(doubled(network), DihedralGroup(4), 3).find_breaking_layers(image(8))) == 1


def test_a_size_that_is_not_taken_is_refused() -> None:
    tracer = SymmetryTracer(doubled(nn.Conv2d(3, 4, 5)), DihedralGroup(4), 3)
    assert not tracer.accepts_size(4)
    assert not tracer.is_exact(4)
    assert tracer.accepts_size(5)
    with pytest.raises(RefusedError, match="RuntimeError"):
        tracer.find_breaking_layers(image(4))


def test_constants_that_were_seen_with_numbers_are_known_without() -> None:
    """A ring of weights changes under no symmetry, a ramp does; which is known at other sizes by the layer alone."""

    def centred(x: torch.Tensor) -> torch.Tensor:
        return (torch.arange(x.shape[-1], device=x.device) - (x.shape[-1] - 1) / 2).square()

    ring = stacked(nn.Conv2d(3, 4, 3, padding=1), lambda x: x * (centred(x)[:, None] + centred(x)))
    ramp = stacked(nn.Conv2d(3, 4, 3, padding=1), lambda x: x * torch.arange(x.shape[-1], device=x.device))
    for network, exact in ((ring, True), (ramp, False), (ring[0], True)):
        tracer = SymmetryTracer(doubled(network), DihedralGroup(4), 3)
        assert (tracer.find_breaking_layers(image(8)) == []) == exact
        assert tracer.is_exact(9) == exact
        assert (tracer.find_breaking_layers_by_shape(9, 9) == []) == exact


def test_the_network_itself_stays_as_it_is() -> None:
    network = doubled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    SymmetryTracer(doubled(network), DihedralGroup(4), 3).find_breaking_layers(image(8))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network[0]._forward_hooks
