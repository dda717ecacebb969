"""Exact sizes of whole networks, against the closed form of chains and known architectures."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from equistudy.exactness.audit import audit
from equistudy.exactness.copies import randomise_weights
from equistudy.exactness.residues import ExactSizes, find_exact_sizes, search_exact_sizes
from equistudy.exactness.trace import SymmetryTracer
from equistudy.exactness.windows import AxisWindows, Residue, compute_chain_residue
from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup
from equistudy.models.group_cnn import GroupCNN
from equistudy.models.model import Model
from equistudy.models.preactivation_resnet import PreactivationResNet
from equistudy.networks.timm_network import build_bare_network
from tests.exactness.small_networks import Calls, pooled, stacked


def traced(network: nn.Module, size: int, group: FiniteGroup = DihedralGroup(4)) -> SymmetryTracer:  # noqa: B008 -- frozen
    tracer = SymmetryTracer(randomise_weights(network, 0), group, 3)
    tracer.find_breaking_layers(torch.randn(1, 3, size, size, dtype=torch.float64))
    return tracer


def find_sizes(tracer: SymmetryTracer, size: int, exact: bool) -> ExactSizes | None:
    """By the rules alone."""
    return find_exact_sizes(tracer, size, exact, lambda number: True)


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
    found = find_sizes(tracer, 60, tracer.is_exact(60))
    assert found is not None
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
    found = find_sizes(tracer, 29, tracer.is_exact(29))
    assert found is not None
    assert found.residue == expected


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
    found = find_sizes(tracer, 224, tracer.is_exact(224))
    assert found == (name == "vgg11", residue, below, above, None)


def test_branches_that_need_different_sizes_have_none() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd, self.even = nn.Conv2d(3, 3, 3, 2, 1), nn.AvgPool2d(2, ceil_mode=True)

        def forward(self, images):
            return self.odd(images) + self.even(images)

    assert find_sizes(traced(Branches(), 8), 8, False) == (False, None, None, None, None)


def test_small_sizes_below_which_there_is_none() -> None:
    tracer = traced(nn.Sequential(nn.Conv2d(3, 3, 3, 4)), 5)
    assert find_sizes(tracer, 5, False) == (False, Residue(4, 3), 3, 7, None)
    assert find_sizes(tracer, 3, True) == (True, Residue(4, 3), None, 7, None)


@pytest.mark.slow
def test_group_networks_have_the_sizes_of_their_windows() -> None:
    network = PreactivationResNet(8, 2, CyclicGroup(4)).build((3, 32, 32), 10)
    tracer = traced(network, 32, CyclicGroup(4))
    assert find_sizes(tracer, 32, False) == (False, Residue(4, 1), 29, 33, None)


def branches(first: nn.Module, second: nn.Module) -> nn.Module:
    """Two convolutions of the image, each averaged over its own map."""
    return Calls(lambda x, *layers: sum(layer(x).mean((2, 3)) for layer in layers), first, second)


@pytest.mark.parametrize(
    ("network", "size", "residue", "below", "above"),
    [
        (branches(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 3, 3, 1)), 40, Residue(6, 1), 37, 43),
        (nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 3, 1)), 40, Residue(6, 1), 37, 43),
        (pooled(lambda x: x[:, :, ::2, ::2]), 32, Residue(2, 1), 31, 33),
        (pooled(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear")), 33, Residue(2, 0), 32, 34),
        (pooled(lambda x: F.interpolate(x, scale_factor=1 / 3, mode="bilinear")), 32, Residue(3, 0), 30, 33),
        (pooled(lambda x: x.unflatten(3, (-1, 4)).unflatten(2, (-1, 4)).amax((3, 5))), 40, Residue(4, 0), 36, 44),
        (pooled(lambda x: x.unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5))), 32, Residue(2, 1), 31, 33),
        (pooled(lambda x: x.roll((4, 4), (2, 3)), nn.Conv2d(8, 8, 3)), 8, None, 4, None),
        (pooled(lambda x: x * (torch.eye(8) + torch.eye(8).flip(0))), 8, None, None, None),
    ],
)
def test_sizes_repeat_with_the_least_common_multiple(
    network: nn.Module, size: int, residue: Residue | None, below: int | None, above: int | None
) -> None:
    network.eval()(torch.zeros(1, 3, size, size))
    found = audit(network, size)
    assert (found.residue, found.nearest, found.features.searched) == (residue, (below, above), None)
    for side in (below, above):
        assert side is None or audit(network, side).is_exact


def test_what_rules_do_not_cover_is_searched_by_numbers() -> None:
    """Rows and columns in the order of a table: a shift by two cells, which is half a turn for four."""

    def shuffled(x: Tensor) -> Tensor:
        table = torch.arange(x.shape[3]).roll(2)
        return x.index_select(2, table).index_select(3, table)

    found = audit(stacked(nn.Conv2d(3, 4, 3, padding=1), shuffled, nn.Conv2d(4, 4, 3)), 6)
    assert found.nearest == (4, None)
    assert found.features.searched == (2, 46)


def test_numbers_have_the_last_word_about_sizes() -> None:
    tracer = traced(nn.Conv2d(3, 3, 3, 2, 1), 32)
    assert find_exact_sizes(tracer, 32, False, lambda number: number < 20) is None
    found = find_exact_sizes(tracer, 32, False, lambda number: number not in (31, 33))
    assert found is not None
    assert (found.below, found.above) == (29, 35)
    assert search_exact_sizes(8, False, lambda number: number in (5, 12)) == (False, None, 5, 12, (2, 48))
