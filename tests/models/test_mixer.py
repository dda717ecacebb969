"""The MLP-Mixer: what it knows of positions, and widths without a half."""

import pytest
import torch

from equistudy.models.mixer import MLPMixer


def test_mixing_is_over_positions_and_channels_alone():
    network = MLPMixer(1, 8, patch=4).build((1, 16, 8), 3).eval().double()
    block, tokens = network.blocks[0], torch.rand(2, 8, 8, dtype=torch.float64)
    w = block.state_dict()
    normed = torch.nn.functional.layer_norm(tokens, (8,), eps=1e-6).transpose(1, 2)
    hidden = torch.nn.functional.gelu(normed @ w["mlp_tokens.fc1.weight"].T + w["mlp_tokens.fc1.bias"])
    mixed = tokens + (hidden @ w["mlp_tokens.fc2.weight"].T + w["mlp_tokens.fc2.bias"]).transpose(1, 2)
    normed = torch.nn.functional.layer_norm(mixed, (8,), eps=1e-6)
    hidden = torch.nn.functional.gelu(normed @ w["mlp_channels.fc1.weight"].T + w["mlp_channels.fc1.bias"])
    expected = mixed + hidden @ w["mlp_channels.fc2.weight"].T + w["mlp_channels.fc2.bias"]
    torch.testing.assert_close(block(tokens), expected)


def test_shifts_by_whole_patches_change_the_logits_once_the_head_has_weights():
    network, images = MLPMixer(2, 8).build((1, 16, 16), 3).eval(), torch.rand(2, 1, 16, 16)
    assert not network(images).any()
    torch.nn.init.ones_(network.head.weight)
    torch.nn.init.normal_(network.norm.weight)
    assert (network(images.roll(4, dims=3)) - network(images)).abs().max() > 1e-6


def test_odd_width():
    with pytest.raises(ValueError, match=r"width must be even, got width=33\. Use 34"):
        MLPMixer(width=33)
