"""The ConvNeXt: resolutions, channels and what it starts from."""

import pytest
import torch

from equistudy.models.convnext import ConvNeXt


def test_resolutions_and_channels():
    network, features = ConvNeXt(1, 4, patch=2).build((3, 28, 20), 5), torch.rand(2, 3, 28, 20)
    shapes = []
    for stage in ("stem", "stage1", "stage2", "stage3"):
        features = network.get_submodule(stage)(features)
        shapes.append(tuple(features.shape[1:]))
    assert shapes == [(4, 14, 10), (4, 14, 10), (8, 7, 5), (16, 3, 2)]


def test_blocks_begin_close_to_the_identity():
    network, maps = ConvNeXt(1, 8).build((1, 16, 16), 5), torch.rand(2, 8, 16, 16)
    assert network.stage1.blocks[0].gamma.tolist() == pytest.approx([0.1] * 8)
    assert (network.stage1(maps) - maps).abs().max() < 0.05


def test_weights_begin_as_in_the_paper():
    network = ConvNeXt(1, 32).build((1, 16, 16), 5)
    assert network.stage3.blocks[0].mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not network.classifier.bias.any()
