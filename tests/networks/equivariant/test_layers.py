"""One network with any group and with none."""

import pytest
import torch
from torch import nn

from equistudy.groups.finite import CyclicGroup
from equistudy.networks.choices import Factorisation, Initialisation
from equistudy.networks.equivariant.convolution import (
    ConvolutionWindow,
    DepthwiseConvolution,
    LiftingConvolution,
    RegularConvolution,
    SharedConvolution,
)
from equistudy.networks.equivariant.layers import LayerFactory
from equistudy.networks.equivariant.norm import GroupBatchNorm

P4 = CyclicGroup(4)


def test_without_a_group_layers_are_ordinary():
    layers = LayerFactory(None)
    assert layers.order == 1
    assert type(layers.build_norm(3)) is nn.BatchNorm2d
    for make in (layers.build_lifting, layers.build_convolution):
        layer = make(3, 4, ConvolutionWindow(5, 2, 4, 2), bias=True)
        assert type(layer) is nn.Conv2d
        assert (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == ((5, 5), (2, 2), (4, 4), (2, 2))
        assert layer.bias.abs().max() == 0


@pytest.mark.parametrize(
    ("factorisation", "kind"),
    [(Factorisation.FULL, RegularConvolution), (Factorisation.G, SharedConvolution), (Factorisation.GC, nn.Sequential)],
)
def test_only_kernels_with_neighbours_are_factorised(factorisation: Factorisation, kind: type):
    layers = LayerFactory(P4, factorisation)
    assert type(layers.build_lifting(3, 4, ConvolutionWindow(3))) is LiftingConvolution
    assert type(layers.build_convolution(3, 4, ConvolutionWindow(3))) is kind
    assert type(layers.build_convolution(3, 4, ConvolutionWindow(1))) is RegularConvolution
    assert type(layers.build_norm(4)) is GroupBatchNorm
    if kind is nn.Sequential:
        assert [type(part) for part in layers.build_convolution(3, 4, ConvolutionWindow(3))] == [
            RegularConvolution,
            DepthwiseConvolution,
        ]


def test_without_a_group_groupy_is_the_default_of_torch():
    """Both are uniform in +-1 / sqrt(I k^2)."""
    torch.manual_seed(0)
    ours = LayerFactory(None, initialisation=Initialisation.GROUPY).build_convolution(
        3, 8, ConvolutionWindow(3), bias=True
    )
    torch.manual_seed(0)
    assert all(map(torch.equal, ours.parameters(), nn.Conv2d(3, 8, 3).parameters()))


def test_the_classifier_starts_as_he_has_it():
    torch.manual_seed(0)
    layer = LayerFactory(P4).build_classifier(400, 50)
    assert layer.bias.abs().max() == 0
    assert layer.weight.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
