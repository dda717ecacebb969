"""Strides: of networks that refuse or resize other sizes, and against what timm's networks declare."""

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from equistudy.measuring.geometry import probe_geometries
from equistudy.measuring.layout import Geometry
from equistudy.measuring.stages import evaluation_mode


class Strict(nn.Module):
    """Convolutions that take images of whole multiples only, as U-Nets and networks with windows do."""

    def __init__(self, strides: tuple[int, ...], multiple: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        channels = [1, *[4] * len(strides)]
        layers = [nn.Conv2d(channels[i], 4, 3, stride, 1) for i, stride in enumerate(strides)]
        self.layers, self.multiple = nn.Sequential(*layers), multiple

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if any(side % self.multiple for side in images.shape[2:]):
            raise ValueError(f"images of multiples of {self.multiple}, got {list(images.shape)}")
        return self.layers(images)


class Resizing(nn.Module):
    """Resizes its map to whole windows, as MobileViT does: rows grow by pairs."""

    def __init__(self, stride: int, window: int) -> None:
        super().__init__()
        self.layer, self.window = nn.Conv2d(1, 4, 3, stride, 1), window

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.layer(images)
        size = [-(-side // self.window) * self.window for side in maps.shape[2:]]
        return interpolate(maps, size, mode="bilinear") if size != list(maps.shape[2:]) else maps


def find(network: nn.Module, height: int, width: int) -> Geometry | str:
    images = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0))
    with evaluation_mode(network):
        return probe_geometries(network, {"stage": network}, images, offsets=False)["stage"]


@pytest.mark.parametrize(
    ("strides", "multiple", "size"),
    [
        ((2, 2, 2), 8, (64, 64)),
        ((2, 2), 32, (64, 96)),
        ((2, 2, 2, 2, 2), 32, (160, 160)),
        ((3,), 3, (27, 30)),
        ((1,), 16, (32, 32)),
    ],
)
def test_networks_that_take_multiples_keep_their_stages(
    strides: tuple[int, ...], multiple: int, size: tuple[int, int]
) -> None:
    found = find(Strict(strides, multiple), *size)
    assert isinstance(found, Geometry)
    assert found.grid is not None
    stride = int(torch.tensor(strides).prod())
    assert found.grid[:3] == (size[0] // stride, size[1] // stride, stride)


@pytest.mark.parametrize(
    ("stride", "window", "side"), [(8, 2, 288), (8, 2, 64), (4, 4, 64), (16, 2, 288), (8, 7, 56), (2, 3, 24)]
)
def test_networks_that_resize_to_whole_windows(stride: int, window: int, side: int) -> None:
    found = find(Resizing(stride, window), side, side)
    assert isinstance(found, Geometry)
    assert found.grid is not None
    assert found.grid[:3] == (side // stride, side // stride, stride)


def test_a_map_of_resized_cells_has_no_whole_stride() -> None:
    assert "its cells are not squares of a whole number of pixels" in str(find(Resizing(32, 2), 288, 288))


class Declaring(nn.Module):
    """A feature stage with a declared reduction."""

    def __init__(self, layer: nn.Module, reduction: int) -> None:
        super().__init__()
        self.layer = layer
        self.feature_info = [{"module": "layer", "num_chs": 4, "reduction": reduction}]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images)


def test_a_declaration_that_probing_contradicts_is_named() -> None:
    layer = nn.Conv2d(1, 4, 3, 2, 1)
    for reduction, expected in (
        (2, None),
        (4, "declares one cell for every 4 pixels and probing finds one for every 2"),
    ):
        network = Declaring(layer, reduction)
        with evaluation_mode(network):
            found = probe_geometries(network, {"stage": network.layer}, torch.rand(2, 1, 16, 16), offsets=False)[
                "stage"
            ]
        assert isinstance(found, Geometry) if expected is None else expected in str(found)


class OneSize(nn.Module):
    """Mixes all positions of a map of one size, so that no disturbed pixel shows where its cells lie."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.mix = nn.Conv2d(1, 4, 4, 4), nn.Linear(cells, cells)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.layer(images)
        return self.mix(maps.flatten(2)).view_as(maps)


def test_a_declaration_decides_where_probing_cannot() -> None:
    alone = OneSize(49)
    assert "cannot be read as a map" in str(find(alone, 28, 28))
    declared = Declaring(alone, 4)
    with evaluation_mode(declared):
        found = probe_geometries(declared, {"stage": declared.layer}, torch.rand(2, 1, 28, 28), offsets=False)["stage"]
    assert isinstance(found, Geometry)
    assert found.grid is not None
    assert found.grid[:3] == (7, 7, 4)
