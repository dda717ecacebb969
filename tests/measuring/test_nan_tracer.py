"""Marks against a convolution of ones, which is positive exactly where a cell sees what is marked."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from equistudy.measuring.nan_tracer import NanTracer


def marked(*size: int) -> torch.Tensor:
    """Images of four channels, with one NaN each, all in the second channel."""
    images = torch.rand(6, 4, *size, generator=torch.Generator().manual_seed(0))
    for number, image in enumerate(images):
        image[1, number * size[0] // 6, number * size[1] // 6] = torch.nan
    return images


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": 4, "stride": 3, "padding": 1},
        {"kernel_size": (3, 1), "stride": (1, 2), "padding": (1, 0)},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 5, "padding": "same", "dilation": 2},
        {"kernel_size": 3, "padding": "valid", "groups": 2},
        {"kernel_size": 3, "padding": 1, "groups": 4},
    ],
    ids=str,
)
def test_a_cell_of_a_convolution_is_marked_if_it_sees_the_mark(options: dict[str, Any]) -> None:
    network, images = nn.Conv2d(4, 8, **options), marked(13, 11)
    nn.init.zeros_(network.weight)  # NaN is seen behind a weight of 0 too
    with NanTracer(), torch.no_grad():
        found = network(images)
    given = (network.stride, network.padding, network.dilation, network.groups)
    expected = conv2d(images.isnan().float(), torch.ones_like(network.weight), None, *given)
    assert found.shape == expected.shape
    assert torch.equal(found.isnan(), expected > 0)


def test_a_linear_layer_marks_its_row_alone() -> None:
    tokens = torch.rand(2, 5, 4)
    tokens[1, 3, 2] = torch.nan
    with NanTracer(), torch.no_grad():
        found = nn.Linear(4, 7)(tokens)
    assert found.isnan().any(dim=2).nonzero().tolist() == [[1, 3]]
    assert found.isnan().all(dim=2).sum() == 1


def test_no_norm_over_the_channels_divides_by_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 1), nn.Flatten(2))
    with NanTracer(), torch.no_grad():
        found = nn.functional.normalize(network(torch.zeros(1, 4, 3, 3)), dim=1, eps=0)
    assert found.isfinite().all()


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(4, 4, 7), nn.MaxPool2d(3, 2), nn.AvgPool2d(2), nn.Conv2d(4, 4, 3, dilation=2)], ids=str
)
def test_strips_narrower_than_a_kernel_go_through(layer: nn.Module) -> None:
    strip = torch.rand(1, 4, 20, 1)
    strip[0, :, 9] = torch.nan
    with NanTracer(), torch.no_grad():
        found, wide = layer(strip), layer(strip.expand(-1, -1, -1, 20))
    assert found.shape[3] == 1
    assert torch.equal(found[..., 0].isnan(), wide[..., 0].isnan())
    assert 0 < found.isnan().sum() < found.numel()


@pytest.mark.parametrize("channels", [3, 5])
def test_shapes_that_do_not_fit_are_refused_as_ever(channels: int) -> None:
    with NanTracer(), torch.no_grad(), pytest.raises(RuntimeError):
        nn.Conv2d(4, 4, 3)(torch.rand(1, channels, 8, 8))
    with NanTracer(), torch.no_grad(), pytest.raises(RuntimeError):
        nn.Linear(4, 4)(torch.rand(1, channels))
