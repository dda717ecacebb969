"""Group convolutions commute with every element, exactly where their windows do."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d
from torch.nn.utils import prune

from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup, Flip, Reflection
from equistudy.groups.square import apply_symmetry
from equistudy.networks.choices import Initialisation
from equistudy.networks.equivariant.convolution import (
    ConvolutionWindow,
    DepthwiseConvolution,
    GroupConvolution,
    LiftingConvolution,
    RegularConvolution,
    SharedConvolution,
    build_separable_convolution,
)
from equistudy.networks.equivariant.kernels import build_gather_table, expand_kernels, find_symmetries
from tests.models.regular_features import acted

P4, P4M = CyclicGroup(4), DihedralGroup(4)
GROUPS = [CyclicGroup(2), P4, DihedralGroup(1), DihedralGroup(2), P4M, Reflection(flip=Flip.VERTICAL)]
KINDS = [RegularConvolution, SharedConvolution, build_separable_convolution]
groups = pytest.mark.parametrize("group", GROUPS, ids=str)
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def deviations(layer: nn.Module, group: FiniteGroup, features: torch.Tensor, *, regular: bool = True) -> list[float]:
    """|f(g x) - g f(x)| / |f(x)| for every g but the identity."""
    found = []
    with torch.no_grad():
        output = layer(features)
        for number, symmetry in enumerate(find_symmetries(group)[1:], start=1):
            given = acted(group, number, features) if regular else apply_symmetry(features, symmetry)
            found.append(((layer(given) - acted(group, number, output)).norm() / output.norm()).item())
    return found


@groups
@pytest.mark.parametrize(
    "window",
    [ConvolutionWindow(1), ConvolutionWindow(2, padding=1), ConvolutionWindow(3, 1, 1), ConvolutionWindow(5, 1, 2, 2)],
    ids=str,
)
def test_lifting(group: FiniteGroup, window: ConvolutionWindow):
    layer = LiftingConvolution(group, 3, 2, window).double()
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    assert max(deviations(layer, group, images, regular=False)) < 1e-14


@kinds
@groups
@pytest.mark.parametrize(
    "window",
    [ConvolutionWindow(1), ConvolutionWindow(2), ConvolutionWindow(3, 1, 1), ConvolutionWindow(4, 1, 1, 2)],
    ids=str,
)
def test_regular(kind: Any, group: FiniteGroup, window: ConvolutionWindow):
    layer = kind(group, 2, 3, window).double()
    features = torch.randn(2, 2 * group.order, 9, 9, dtype=torch.float64)
    assert max(deviations(layer, group, features)) < 1e-14


@kinds
@pytest.mark.parametrize("group", [P4, P4M], ids=str)
@pytest.mark.parametrize(
    ("window", "exact"),
    [
        (ConvolutionWindow(3, 2, 1), {7, 9, 11}),
        (ConvolutionWindow(2, 2), {8, 10}),
        (ConvolutionWindow(4, 2, 1), {8, 10}),
        (ConvolutionWindow(3, 3, 1), {7, 10}),
    ],
    ids=str,
)
def test_strides_are_exact_where_windows_mirror(
    kind: Any, group: FiniteGroup, window: ConvolutionWindow, exact: set[int]
):
    """stride | n + 2 padding - size; else only the transposition of P4M survives."""
    layer = kind(group, 2, 2, window, bias=False).double()
    for size in range(7, 12):
        found = deviations(layer, group, torch.randn(2, 2 * group.order, size, size, dtype=torch.float64))
        if size in exact:
            assert max(found) < 1e-14
            continue
        if group == P4M:
            assert group.elements()[4].label == "left-right, 90 deg"
            assert found.pop(4) < 1e-14
        assert min(found) > 1e-2


@dataclass(frozen=True)
class Transposition(FiniteGroup):
    """A group of one's own: rows and columns change places."""

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        return (0.0, 0.0), (90.0, 1.0)


@kinds
def test_a_new_group_is_its_rows(kind: Any):
    """Windows that drop cells at the bottom and at the right drop the same of a transposed map: exact at any size."""
    group = Transposition()
    layer = kind(group, 2, 2, ConvolutionWindow(3, 2, 1)).double()
    for size in (8, 9):
        features = torch.randn(2, 4, size, size, dtype=torch.float64)
        assert torch.equal(acted(group, 1, features)[:, 0], features[:, 1].mT)
        assert max(deviations(layer, group, features)) < 1e-14


def test_separable_kernels_are_products():
    """The two convolutions in turn are the one with p[o, i, s] d[o], for any stride, padding and dilation."""
    window = ConvolutionWindow(3, 2, 2, 2)
    for group in (P4, P4M):
        layer = build_separable_convolution(group, 3, 2, window).double()
        with torch.no_grad():
            layer.depthwise.bias.normal_()
        whole = layer.pointwise.weight * layer.depthwise.weight
        kernels = expand_kernels(whole, build_gather_table(group, 3, regular=True))
        features = torch.randn(2, 3 * group.order, 10, 10, dtype=torch.float64)
        expected = conv2d(features, kernels, layer.depthwise.bias.repeat_interleave(group.order), *window[1:])
        assert (layer(features) - expected).norm() / expected.norm() < 1e-14


@pytest.mark.parametrize(("group", "counts"), [(P4, (2170, 790, 340)), (P4M, (4330, 1030, 580))], ids=["P4", "P4M"])
def test_parameters(group: FiniteGroup, counts: tuple[int, ...]):
    """Six fields to ten by 3 x 3 kernels with bias: Lengyel and van Gemert's O I |G| k^2 + O and its factorisations."""
    found = [sum(p.numel() for p in kind(group, 6, 10, ConvolutionWindow(3)).parameters()) for kind in KINDS]
    assert tuple(found) == counts
    assert (
        sum(p.numel() for p in LiftingConvolution(group, 6, 10, ConvolutionWindow(3)).parameters()) == 6 * 10 * 9 + 10
    )


@kinds
@pytest.mark.parametrize("size", [3, 4])
def test_he_keeps_the_second_moment(kind: Any, size: int):
    """The output of ReLU features of unit second moment has variance 2 before its own ReLU."""
    torch.manual_seed(0)
    layer = kind(P4M, 64, 64, ConvolutionWindow(size), bias=False)
    features = torch.randn(8, 64 * 8, size, size)
    variance = layer(features).square().mean().item()
    assert variance == pytest.approx(2, rel=0.1)


def test_groupy_counts_neither_group_nor_factors():
    bound = 1 / (6 * 9) ** 0.5
    for kind in (*KINDS, LiftingConvolution):
        layer = kind(P4, 6, 200, ConvolutionWindow(3), True, Initialisation.GROUPY)
        for name, parameter in layer.named_parameters():
            assert bound * 0.95 < parameter.abs().max() <= bound, name


@pytest.mark.parametrize(
    "layer",
    [
        LiftingConvolution(P4, 3, 2, ConvolutionWindow(3, 2, 1)),
        RegularConvolution(P4M, 1, 2, ConvolutionWindow(4, 2, 3, 2), bias=False),
        SharedConvolution(P4, 2, 2, ConvolutionWindow(3)),
        DepthwiseConvolution(P4, 2, ConvolutionWindow(3, padding=1)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_plain_is_an_ordinary_convolution(layer: GroupConvolution):
    layer.double()
    plain = layer.to_ordinary()
    assert type(plain) is nn.Conv2d
    features = torch.randn(2, plain.in_channels, 8, 8, dtype=torch.float64)
    assert torch.equal(plain(features), layer(features))
    assert plain.bias is None or plain.bias.shape == (plain.out_channels,)


def test_impossible_layers_are_refused():
    with pytest.raises(
        ValueError,
        match=r"positive numbers .* got inputs=0, outputs=2, ConvolutionWindow\(size=3.*Use ConvolutionWindow",
    ):
        RegularConvolution(P4, 0, 2, ConvolutionWindow(3))
    with pytest.raises(ValueError, match="padding of at least 0"):
        LiftingConvolution(P4, 1, 1, ConvolutionWindow(3, padding=-1))


def test_a_layer_says_what_it_is():
    assert "2, 3, ConvolutionWindow(size=3, stride=1, padding=0, dilation=1), bias=True" in repr(
        RegularConvolution(P4, 2, 3, ConvolutionWindow(3))
    )


every = pytest.mark.parametrize(
    "build",
    [
        lambda: LiftingConvolution(P4, 8, 2, ConvolutionWindow(3)),
        lambda: RegularConvolution(P4, 2, 2, ConvolutionWindow(3)),
        lambda: SharedConvolution(P4, 2, 2, ConvolutionWindow(3)),
        lambda: DepthwiseConvolution(P4, 2, ConvolutionWindow(3)),
    ],
    ids=["lifting", "regular", "shared", "depthwise"],
)
modes = pytest.mark.parametrize("training", [True, False])


@every
@modes
def test_transforms_of_functions_take_other_parameters(build: Any, training: bool):
    layer, other = build().train(training), build().train(training)
    features, parameters = torch.randn(2, 8, 5, 5), dict(other.named_parameters())
    found = torch.func.functional_call(layer, parameters, (features,))
    torch.testing.assert_close(found, other(features))

    def compute_loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(layer, parameters, (features,)).square().sum()

    gradients = torch.func.grad(compute_loss)(parameters)
    other(features).square().sum().backward()
    torch.testing.assert_close(gradients, {name: value.grad for name, value in other.named_parameters()})
    stacked = {name: torch.stack([value, 2 * value]).detach() for name, value in parameters.items()}
    both = torch.func.vmap(compute_loss)(stacked)
    torch.testing.assert_close(both[0], compute_loss(parameters))


@every
@modes
def test_parametrisations_and_pruning_reach_the_kernels(build: Any, training: bool):
    features = torch.randn(2, 8, 5, 5)
    normed = build().train(training)
    expected = normed(features)
    torch.nn.utils.parametrizations.weight_norm(normed, next(iter(normed.stored_weights())))
    torch.testing.assert_close(normed(features), expected)
    pruned, name = build().train(training), next(iter(build().stored_weights()))
    prune.random_unstructured(pruned, name, amount=0.5)
    with torch.no_grad():
        kept = pruned(features)
        prune.remove(pruned, name)
        torch.testing.assert_close(pruned(features), kept)


@every
def test_a_network_built_without_numbers_is_as_good_as_any(build: Any):
    """Whether it is emptied and filled, or given the tensors of another."""
    expected, features = build().eval(), torch.randn(2, 8, 5, 5)
    with torch.device("meta"):
        emptied, assigned = build().eval(), build().eval()
    emptied.to_empty(device="cpu").load_state_dict(expected.state_dict())
    assigned.load_state_dict(expected.state_dict(), assign=True)
    moved = build().eval().to("meta")
    moved.load_state_dict(expected.state_dict(), assign=True)
    for layer in (emptied, assigned, moved):
        torch.testing.assert_close(layer(features), expected(features))
