"""The MLP-Mixer: what it knows of positions, and widths without a half.

The ConvMixer against a direct writing of its paper, and kernels that have no centre.
"""

import pytest
import torch
from torch.nn.functional import conv2d, gelu, linear

from equistudy.models.mixer import ConvMixer, MLPMixer


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


def test_equals_the_formula_of_the_paper():
    network = ConvMixer(2, 4, patch=2, kernel=3).build((3, 12, 8), 5).eval().double()
    w = network.state_dict()
    images = torch.rand(2, 3, 12, 8, dtype=torch.float64)

    def normed(x, name):
        return x / (1 + 1e-5) ** 0.5 * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]

    x = normed(gelu(conv2d(images, w["stem.0.weight"], w["stem.0.bias"], stride=2)), "stem.2")
    for block in ("blocks.0", "blocks.1"):
        mixed = conv2d(x, w[f"{block}.0.fn.0.weight"], w[f"{block}.0.fn.0.bias"], padding=1, groups=4)
        x = x + normed(gelu(mixed), f"{block}.0.fn.2")
        x = normed(gelu(conv2d(x, w[f"{block}.1.weight"], w[f"{block}.1.bias"])), f"{block}.3")
    torch.testing.assert_close(network(images), linear(x.mean((2, 3)), w["head.weight"], w["head.bias"]))


def test_even_kernel():
    with pytest.raises(ValueError, match=r"kernel must be odd, to have a centre, got kernel=4\. Use 5"):
        ConvMixer(kernel=4)
