"""Stride, layout and grid are found for convolutions, pools, channels-last blocks and tokens, and never guessed."""

from typing import Any

import pytest
import torch
from torch import nn

from equistudy.measuring.geometry import Geometry, OutputLayout, probe_geometries


class ChannelsLast(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.permute(0, 2, 3, 1)


class Tokens(nn.Module):
    """Patches as tokens behind `prefix` more; a position embedding makes the network take one size only."""

    def __init__(self, patch: int, prefix: int, cells: int | None) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 8, patch, patch)
        self.prefix = nn.Parameter(torch.randn(1, prefix, 8))
        self.position = None if cells is None else nn.Parameter(torch.randn(1, cells + prefix, 8))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(images), -1, -1), tokens], dim=1)
        return tokens if self.position is None else tokens + self.position


def probed(network: nn.Module, height: int, width: int) -> Geometry | str:
    images = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return probe_geometries(network, {"stage": network}, images)["stage"]


def layers(*strides: int, kernel: int = 3, padding: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    channels = [1, *[4] * len(strides)]
    return nn.Sequential(*(nn.Conv2d(channels[i], 4, kernel, stride, padding) for i, stride in enumerate(strides)))


@pytest.mark.parametrize(
    ("network", "size", "grid"),
    [
        (layers(1, 1), (28, 28), (28, 28, 1)),
        (layers(1, 2, 2), (28, 28), (7, 7, 4)),
        (layers(1, 2, 2), (25, 30), (7, 8, 4)),
        (layers(1, 1, kernel=5, padding=0), (28, 28), (20, 20, 1)),
        (layers(2, 3, kernel=3, padding=0), (28, 28), (4, 4, 6)),
        (layers(2, 2, 2, 2), (40, 40), (3, 3, 16)),
        (nn.Sequential(layers(1), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)), (28, 28), (7, 7, 4)),
    ],
)
def test_the_stride_of_convolutions_and_pools(network: nn.Module, size: tuple, grid: tuple) -> None:
    found = probed(network, *size)
    assert isinstance(found, Geometry)
    assert found.layout is OutputLayout.NCHW
    assert found.grid is not None
    assert found.grid[:5] == (*grid, *size)


def test_the_stride_of_a_map_before_a_head_of_one_size() -> None:
    network = nn.Sequential(layers(1, 2), nn.Flatten(), nn.Linear(784, 3))
    with torch.no_grad():
        found = probe_geometries(network, {"map": network[0], "logits": network}, torch.rand(2, 1, 28, 28))
    assert found["logits"] == Geometry(OutputLayout.VECTOR, 3)
    assert isinstance(found["map"], Geometry)
    assert found["map"].grid == (14, 14, 2, 28, 28, 0, 0)


def test_channels_last_is_read_as_such() -> None:
    network = nn.Sequential(layers(1, 2), ChannelsLast())
    found = probed(network, 28, 28)
    assert isinstance(found, Geometry)
    assert (found.layout, found.channels) == (OutputLayout.NHWC, 4)
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(found.to_maps(network(images)), network[0](images))


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("prefix", [0, 1, 5])
def test_tokens_are_a_grid_behind_their_prefix(fixed: bool, prefix: int) -> None:
    torch.manual_seed(0)
    network = Tokens(4, prefix, 56 if fixed else None)
    found = probed(network, 28, 32)
    assert isinstance(found, Geometry)
    assert (found.layout, found.prefix, found.channels) == (OutputLayout.TOKENS, prefix, 8)
    images = torch.rand(3, 1, 28, 32)
    expected = network.embed(images)
    moved = found.to_maps(network(images))
    if fixed:
        moved = moved - network.position[:, prefix:].transpose(1, 2).unflatten(2, (7, 8))
    torch.testing.assert_close(moved, expected)


def test_vectors() -> None:
    pooled = nn.Sequential(layers(1), nn.AdaptiveAvgPool2d(1))
    assert probed(pooled, 12, 12) == Geometry(OutputLayout.VECTOR, 4)
    assert probed(nn.Sequential(pooled, nn.Flatten()), 12, 12) == Geometry(OutputLayout.VECTOR, 4)


class Odd(nn.Module):
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def forward(self, images: torch.Tensor) -> Any:
        return self.result(images)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (lambda x: {"logits": x}, "is a dict, not a tensor"),
        (lambda x: x.reshape(-1, 49, 4), "does not have one entry for each image"),
        (lambda x: nn.functional.adaptive_avg_pool2d(x, 5), "does not grow with the image"),
        (
            lambda x: nn.functional.max_pool2d(x, (2, 4)),
            "squares of a whole number of pixels: 6 more pixels give 3 more rows and 1 more columns",
        ),
        (lambda x: nn.functional.interpolate(x, scale_factor=2.0), "2 more pixels give 4 more rows and 4 more columns"),
        (lambda x: x.flatten(2).transpose(1, 2)[:, :-30], "does not grow with the image as a map or as tokens do"),
        (lambda x: x[..., None], "does not grow with the image"),
        (lambda x: x.view(len(x), 1, 784).expand(-1, 8, -1)[:, :, :49], "0 layouts fit its sizes"),
    ],
)
def test_what_is_no_map_is_named(result: Any, reason: str) -> None:
    assert reason in str(probed(Odd(result), 28, 28))


def test_a_dense_map_of_the_right_size_is_not_taken_for_a_map() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 784), nn.Unflatten(1, (1, 28, 28)))
    assert "1 layouts fit its sizes, and 0 respond to a perturbed pixel" in str(probed(network, 28, 28))


class Reversed(nn.Module):
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens.flip(1)


def test_tokens_that_answer_elsewhere_are_read_as_those_before_them() -> None:
    """Mixing of all tokens keeps their grid, but the cell that changes most need not hold the disturbed pixel."""
    torch.manual_seed(0)
    network = nn.Sequential(Tokens(4, 0, 49), Reversed())
    with torch.no_grad():
        found = probe_geometries(network, {"first": network[0], "last": network[1]}, torch.rand(2, 1, 28, 28))
        alone = probe_geometries(network, {"last": network[1]}, torch.rand(2, 1, 28, 28))
    assert isinstance(found["first"], Geometry)
    assert found["last"] == found["first"]
    assert "0 respond to a perturbed pixel where it lies" in str(alone["last"])


def test_a_map_that_changes_its_shape_while_it_is_probed_is_named() -> None:
    class Fickle(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert images.shape[2:] == (28, 28)  # this size only
            return images if len(images) <= 2 else images[:, :, 1:]

    assert "changes its shape from one call to the next: [10, 1, 27, 28] after [2, 1, 28, 28]" in str(
        probed(Fickle(), 28, 28)
    )


def test_a_module_that_runs_twice_or_never_is_named() -> None:
    relu, unused = nn.ReLU(), nn.ReLU()
    network = nn.Sequential(layers(1), relu, layers(1)[0:0], relu)
    with torch.no_grad():
        found = probe_geometries(network, {"twice": relu, "never": unused}, torch.rand(2, 1, 8, 8))
    assert "more than once" in str(found["twice"])
    assert "does not run" in str(found["never"])


def test_a_network_that_refuses_the_windows_says_so() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    with pytest.raises(ValueError, match=r"got 24 x 24 pixels.*Border\.CIRCULAR"):
        probed(network, 24, 24)
