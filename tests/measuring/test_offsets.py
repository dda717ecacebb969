"""Offsets against the arithmetic of convolutions: o grows by stride ((k - 1) / 2 - padding) at each of them."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from equistudy.measuring.geometry import probe_geometries
from equistudy.measuring.layout import Geometry

Layers = Sequence[tuple[int, int, int]]  # kernel, stride, padding


def chain(layers: Layers) -> nn.Sequential:
    torch.manual_seed(0)
    modules: list[nn.Module] = []
    for number, (kernel, stride, padding) in enumerate(layers):
        modules += [nn.Conv2d(4 if number else 1, 4, kernel, stride, padding), nn.ReLU()]
    return nn.Sequential(*modules)


def expected(layers: Layers) -> float:
    offset, stride = 0.0, 1
    for kernel, step, padding in layers:
        offset, stride = offset + stride * ((kernel - 1) / 2 - padding), stride * step
    return offset


def probed(network: nn.Module, height: int, width: int) -> Geometry:
    images = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = probe_geometries(network.eval(), {"stage": network}, images)["stage"]
    assert isinstance(found, Geometry)
    assert found.grid is not None
    return found


RESNET = ((7, 2, 3), (3, 2, 1), (3, 2, 1), (3, 2, 1), (3, 2, 1))
CONVNEXT = ((4, 4, 0), (7, 1, 3), (2, 2, 0), (7, 1, 3), (2, 2, 0), (2, 2, 0))


@pytest.mark.parametrize(
    ("layers", "size", "error"),
    [(RESNET, 224, -15.5), (RESNET, 225, 0.0), (CONVNEXT, 224, 0.0), (((3, 2, 1), (3, 2, 1), (3, 1, 1)), 48, -1.5)],
    ids=["resnet224", "resnet225", "convnext224", "strided48"],
)
def test_the_centre_error_of_known_networks(layers: Layers, size: int, error: float) -> None:
    grid = probed(chain(layers), size, size).grid
    assert grid is not None
    assert grid.centre_error == (error, error)
    assert grid.row_offset == grid.column_offset == expected(layers)


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        (((5, 1, 0), (3, 1, 0)), (20, 24)),
        (((3, 2, 0), (3, 3, 0)), (40, 52)),
        (((2, 2, 0), (3, 1, 1), (3, 2, 0)), (30, 25)),
        (((4, 1, 1),), (12, 13)),
        (((3, 1, 1),) * 12 + ((3, 2, 1),), (14, 12)),
        (((3, 2, 1), (2, 2, 0)) * 2 + ((3, 1, 1),) * 30, (32, 33)),
    ],
    ids=["unpadded", "odd", "mixed", "even", "sees-more-than-the-image", "sees-thirty-times-the-image"],
)
def test_offsets_follow_the_arithmetic(layers: Layers, size: tuple[int, int]) -> None:
    grid = probed(chain(layers), *size).grid
    assert grid is not None
    assert (grid.row_offset, grid.column_offset) == (expected(layers),) * 2


class Same(nn.Module):
    """A convolution that pads one more pixel behind than in front where the sizes ask for it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        height, width = (1 + size % 2 for size in images.shape[2:])
        return self.convolution(nn.functional.pad(images, (width - 1, 1, height - 1, 1)))


def test_padding_that_depends_on_the_size_is_seen() -> None:
    grid = probed(Same(), 24, 25).grid
    assert grid is not None
    assert (grid.row_offset, grid.column_offset) == (1, 0)
    assert grid.centre_error == (0.5, 0)


class Gate(nn.Module):
    """Weighs channels by what they are on average: every cell sees every pixel."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps * maps.mean((2, 3), keepdim=True).sigmoid()


MIXING = (
    Gate(),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveMaxPool2d(1),
    nn.GroupNorm(2, 4),
    nn.InstanceNorm2d(4),
    nn.BatchNorm2d(4, track_running_stats=False),
)


@pytest.mark.parametrize("no_gradients", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("mixing", MIXING, ids=lambda module: type(module).__name__)
def test_what_tells_cells_about_the_whole_image_does_not_hide_where_they_lie(
    mixing: nn.Module, no_gradients: Any
) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.mixing, self.two = nn.Conv2d(1, 4, 3, 2, 1), mixing, nn.Conv2d(4, 4, 3, 2, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.one(images)
            mixed = self.mixing(maps)
            return self.two(maps * mixed if mixed.shape[-1] == 1 else mixed)

    with no_gradients():
        stage = Network().eval()
        found = probe_geometries(stage, {"stage": stage.two}, torch.rand(2, 1, 24, 25))["stage"]
    assert isinstance(found, Geometry)
    assert found.grid is not None
    assert (found.grid.row_offset, found.grid.column_offset) == (0, 0)


class Tokens(nn.Module):
    """Cells of one convolution as tokens that attend to each other, for images of one size."""

    def __init__(self, kernel: int, padding: int, cells: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Conv2d(1, 16, kernel, 4, padding)
        self.position = nn.Parameter(torch.randn(cells, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.position
        return tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]


def test_attention_between_tiles_keeps_their_places() -> None:
    grid = probed(Tokens(4, 0, 36), 24, 24).grid
    assert grid is not None
    assert grid.centre_error == (0, 0)


def test_attention_between_cells_that_do_not_tile_has_no_known_places() -> None:
    grid = probed(Tokens(3, 1, 36), 24, 24).grid
    assert grid is not None
    assert grid.centre is None


def test_without_offsets_the_network_runs_less_often() -> None:
    network, runs = chain(((3, 2, 1),)), []
    network.register_forward_hook(lambda *_: runs.append(1))
    images = torch.rand(2, 1, 24, 24)
    with torch.inference_mode():
        found = probe_geometries(network, {"stage": network}, images, offsets=False)["stage"]
        without = len(runs)
        probe_geometries(network, {"stage": network}, images)
    assert isinstance(found, Geometry)
    assert found.grid is not None
    assert found.grid.centre is None
    assert len(runs) > 2 * without
