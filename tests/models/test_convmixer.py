"""The ConvMixer against a direct writing of its paper, and kernels that have no centre."""

import pytest
import torch
from torch.nn.functional import conv2d, gelu, linear

from equistudy.models.convmixer import ConvMixer


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
