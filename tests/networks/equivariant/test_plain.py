"""An exported network gives the same outputs by ordinary layers, and runs where this package is not installed."""

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
from equistudy.networks.choices import Downsampling, Factorisation, Head
from equistudy.networks.equivariant.plain import convert_to_plain
from equistudy.spec import format_label
from tests.models.regular_features import unsettled

P4 = CyclicGroup(4)
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
