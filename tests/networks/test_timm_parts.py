"""The ConvNeXt: resolutions, channels and what it starts from.

The vision transformer: exactly equivariant to shifts by whole patches as long as nothing tells positions.
"""

import math

import pytest
import torch

from equistudy.models.convnext import ConvNeXt
from equistudy.models.vit import Stem, ViT
from equistudy.networks.choices import Positions


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


def change(model, shift):
    """How much the logits and the last block's tokens, moved back, differ between an image and its circular shift."""
    network = model.build((1, 16, 24), 5).eval().double()
    maps = []
    network.get_submodule("blocks.1").register_forward_hook(lambda module, given, output: maps.append(output))
    images = torch.rand(3, 1, 16, 24, dtype=torch.float64)
    logits = network(images), network(images.roll(shift, dims=(2, 3)))
    still, moved = (tokens.unflatten(1, (4, 6)) for tokens in maps)
    back = moved.roll((-shift[0] // 4, -shift[1] // 4), dims=(1, 2))
    return (logits[1] - logits[0]).abs().max().item(), (back - still).abs().max().item()


@pytest.mark.parametrize("shift", [(4, 0), (8, 12), (-4, 20)])
def test_without_positions_aligned_shifts_permute_tokens(shift):
    assert max(change(ViT(2, 8, positions=Positions.NONE), shift)) < 1e-12


@pytest.mark.parametrize("positions", [Positions.LEARNED, Positions.SINE])
def test_positions_break_it(positions):
    logits, maps = change(ViT(2, 8, positions=positions), (8, 12))
    assert logits > 1e-8
    assert maps > 1e-2


def test_shifts_by_less_than_a_patch_break_it():
    assert change(ViT(2, 8, positions=Positions.NONE), (1, 0))[0] > 1e-8


def test_sines_are_fixed_and_tell_row_and_column():
    network = ViT(1, 8, positions=Positions.SINE).build((1, 12, 16), 5)
    assert "pos_embed" not in dict(network.named_parameters())
    sines = network.state_dict()["pos_embed"][0].unflatten(0, (3, 4))
    for row in range(3):
        for column in range(4):
            expected = {
                round(f(where * rate), 5)
                for where in (row, column)
                for rate in (1.0, 0.01)
                for f in (math.sin, math.cos)
            }
            assert {round(value, 5) for value in sines[row, column].double().tolist()} == expected


def test_a_stem_of_convolutions_sees_beyond_its_patch():
    for stem, seen in ((Stem.PATCHES, 16), (Stem.CONVOLUTIONS, 49)):
        network = ViT(1, 8, stem=stem).build((1, 16, 16), 5).eval()
        images = torch.rand(1, 1, 16, 16, requires_grad=True)
        network.patch_embed(images)[0, 5].square().sum().backward()
        assert (images.grad != 0).sum() <= seen
        assert (images.grad != 0).sum() > seen // 3
