"""One network with any group and with none.

An exported network gives the same outputs by ordinary layers, and runs where this package is not installed.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.models.group_cnn import GroupCNN
from equistudy.models.model import Model
from equistudy.models.preactivation_resnet import PreactivationResNet
from equistudy.networks.choices import Downsampling, Factorisation, Head, Initialisation
from equistudy.networks.equivariant.convolution import (
    ConvolutionWindow,
    DepthwiseConvolution,
    LiftingConvolution,
    RegularConvolution,
    SharedConvolution,
)
from equistudy.networks.equivariant.layers import LayerFactory, convert_to_plain
from equistudy.networks.equivariant.norm import GroupBatchNorm
from equistudy.spec import format_label
from tests.models.regular_features import unsettled

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


MODELS = [
    PreactivationResNet(8, 2, P4),
    PreactivationResNet(8, 2, DihedralGroup(4), Factorisation.GC, Downsampling.EVEN),
    PreactivationResNet(8, 2, P4, Factorisation.G, Downsampling.BLUR, Head.ORIENTED),
    PreactivationResNet(8, 2),
    GroupCNN(2),
]


@pytest.mark.parametrize("model", MODELS, ids=format_label)
def test_outputs_and_stages_are_the_same(model: Model):
    network = unsettled(model.build((1, 16, 16), 5)).train()
    state = torch.get_rng_state()
    plain = convert_to_plain(network)
    assert torch.equal(torch.get_rng_state(), state)
    assert not plain.training
    assert network.training
    assert not any(
        ".equivariant." in type(module).__module__ for module in plain.modules() if list(module.parameters())
    )
    images = torch.randn(3, 1, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(plain(images), network.eval()(images), rtol=0, atol=1e-12)
    assert model.stages(plain) == model.stages(network)


def test_a_layer_alone_is_exported():
    network = GroupCNN(2).build((1, 16, 16), 5).eval()
    assert type(convert_to_plain(network.layer1[0])) is nn.Conv2d


ELSEWHERE = """
import sys, torch
program, images, expected = (sys.argv[1] + name for name in ("/plain.pt2", "/images.pt", "/expected.pt"))
found = torch.export.load(program).module()(torch.load(images))
assert (found - torch.load(expected)).abs().max() < 1e-12
assert not any(name.startswith("equistudy") for name in sys.modules)
"""


@pytest.mark.slow
def test_an_exported_program_needs_none_of_this_code(tmp_path: Path):
    network = convert_to_plain(unsettled(MODELS[1].build((1, 16, 16), 5)))
    images = torch.randn(3, 1, 16, 16, dtype=torch.float64)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (images,), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "plain.pt2")
    more = torch.randn(5, 1, 16, 16, dtype=torch.float64)
    torch.save(more, tmp_path / "images.pt")
    torch.save(network(more).detach(), tmp_path / "expected.pt")
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
