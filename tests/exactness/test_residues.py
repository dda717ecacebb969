"""Exact sizes of whole networks, against the closed form of chains and known architectures."""

import pytest
from torch import nn

from equistudy.exactness.residues import find_exact_sizes
from equistudy.exactness.trace import SymmetryTracer
from equistudy.exactness.windows import AxisWindows, Residue, compute_chain_residue
from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup
from equistudy.models.group_cnn import GroupCNN
from equistudy.models.model import Model
from equistudy.models.preactivation_resnet import PreactivationResNet
from equistudy.networks.timm_network import build_bare_network


def traced(network: nn.Module, size: int, group: FiniteGroup = DihedralGroup(4)) -> SymmetryTracer:  # noqa: B008 -- frozen
    tracer = SymmetryTracer(network, group, 3)
    tracer.find_breaking_layers(size, size)
    return tracer


@pytest.mark.parametrize(
    "layers",
    [
        [(3, 2, 1), (3, 2, 1)],
        [(2, 2, 0), (2, 2, 0), (2, 2, 0)],
        [(7, 2, 3), (3, 2, 1), (5, 3, 1)],
        [(4, 3, 0)],
        [(3, 1, 1)],
    ],
)
def test_the_sizes_of_a_chain_are_those_of_the_closed_form(layers: list[tuple[int, int, int]]) -> None:
    network = nn.Sequential(*(nn.Conv2d(3, 3, kernel, stride, padding) for kernel, stride, padding in layers))
    tracer = traced(network, 60)
    expected = compute_chain_residue([AxisWindows(0, kernel, stride, pad, pad) for kernel, stride, pad in layers])
    found = find_exact_sizes(tracer, 60, tracer.is_exact(60))
    assert found.residue == expected
    assert found.below == max(n for n in range(2, 60) if n in expected)
    assert found.above == min(n for n in range(61, 100) if n in expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (PreactivationResNet(44, 2), Residue(4, 1)),
        (PreactivationResNet(18, 2), Residue(8, 1)),
        (GroupCNN(2), Residue(2, 0)),
    ],
)
def test_networks_of_the_paper(model: Model, expected: Residue) -> None:
    tracer = traced(model.build((3, 29, 29), 10), 29, CyclicGroup(4))
    assert find_exact_sizes(tracer, 29, tracer.is_exact(29)).residue == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # timm's own
@pytest.mark.parametrize(
    ("name", "residue", "below", "above"),
    [
        ("resnet18", Residue(32, 1), 193, 225),
        ("vgg11", Residue(32, 0), 192, 256),
        ("resnet18d", None, None, None),
    ],
)
def test_networks_of_timm(name: str, residue: Residue | None, below: int | None, above: int | None) -> None:
    tracer = traced(build_bare_network(name, (3, 224, 224), 10), 224)
    found = find_exact_sizes(tracer, 224, tracer.is_exact(224))
    assert found == (name == "vgg11", residue, below, above)


def test_branches_that_need_different_sizes_have_none() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd, self.even = nn.Conv2d(3, 3, 3, 2, 1), nn.AvgPool2d(2, ceil_mode=True)

        def forward(self, images):
            return self.odd(images) + self.even(images)

    assert find_exact_sizes(traced(Branches(), 8), 8, False) == (False, None, None, None)


def test_small_sizes_below_which_there_is_none() -> None:
    tracer = traced(nn.Sequential(nn.Conv2d(3, 3, 3, 4)), 5)
    assert find_exact_sizes(tracer, 5, False) == (False, Residue(4, 3), 3, 7)
    assert find_exact_sizes(tracer, 3, True) == (True, Residue(4, 3), None, 7)


def test_group_networks_have_the_sizes_of_their_windows() -> None:
    network = PreactivationResNet(8, 2, CyclicGroup(4)).build((3, 32, 32), 10)
    tracer = traced(network, 32, CyclicGroup(4))
    assert find_exact_sizes(tracer, 32, False) == (False, Residue(4, 1), 29, 33)
