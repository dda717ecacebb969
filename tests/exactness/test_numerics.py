"""The numbers: small where a layer commutes, large where not, whatever the initial weights hide."""

import warnings

import pytest
import torch
from torch import nn

from equistudy.exactness.elements import SPRITE_NAMES
from equistudy.exactness.numerics import EXACT, measure_deviations
from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.networks.equivariant.convolution import ConvolutionWindow, LiftingConvolution, RegularConvolution
from tests.exactness.small_networks import stacked


def image(height: int, width: int, channels: int = 3) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(1, channels, height, width, generator=rng, dtype=torch.float64)


def test_maps_are_compared_where_they_move() -> None:
    errors = measure_deviations(nn.Conv2d(3, 4, 3), image(8, 8), DihedralGroup(4))
    assert len(errors) == 7
    assert max(errors.values()) < 1e-14
    errors = measure_deviations(nn.Conv2d(3, 4, 3, 2), image(8, 8), DihedralGroup(4))
    assert {SPRITE_NAMES[row] for row, error in errors.items() if error < EXACT} == {"transpose"}
    assert min(error for error in errors.values() if error > EXACT) > 0.1


def test_channels_last_maps_move_too() -> None:
    network = stacked(nn.Conv2d(3, 4, 3), lambda x: x.movedim(1, -1))
    assert max(measure_deviations(network, image(8, 8), DihedralGroup(4)).values()) < 1e-14


def test_regular_features_move_with_their_channels() -> None:
    group, window = CyclicGroup(4), ConvolutionWindow(3, padding=1)
    network = nn.Sequential(LiftingConvolution(group, 3, 2, window), RegularConvolution(group, 2, 2, window))
    assert max(measure_deviations(network, image(9, 9), group).values()) < 1e-14
    strided = nn.Sequential(network[0], RegularConvolution(group, 2, 2, ConvolutionWindow(3, 2, 1)))
    assert min(measure_deviations(strided, image(8, 8), group).values()) > 0.1
    assert max(measure_deviations(strided, image(9, 9), group).values()) < 1e-14


def test_a_branch_that_starts_from_zero_is_not_hidden() -> None:
    norm = nn.BatchNorm2d(3)
    nn.init.zeros_(norm.weight)
    branch = nn.Sequential(nn.Conv2d(3, 3, 2, padding="same"), norm)
    network = stacked(lambda x: x, nn.Sequential(branch[0], branch[1]), nn.LeakyReLU())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*padding='same'")  # torch tells it once a process
        assert min(measure_deviations(network, image(8, 8), DihedralGroup(2)).values()) > 1e-4


def test_what_is_equal_everywhere_is_not_blown_up_by_normalisation() -> None:
    """One cell for every moved image: batch norm sees equal numbers, whose rounding must stay rounding."""
    network = stacked(
        nn.Conv2d(3, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    assert max(measure_deviations(network, image(8, 8), DihedralGroup(4)).values()) < EXACT


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_on_a_gpu_is_judged_like_its_copy_on_the_cpu() -> None:
    group, window = CyclicGroup(4), ConvolutionWindow(3, 2, 1)
    network = nn.Sequential(LiftingConvolution(group, 3, 2, window), nn.BatchNorm3d(2), nn.Flatten())
    here = measure_deviations(network, image(8, 8), group)
    assert measure_deviations(network.cuda(), image(8, 8), group) == here
