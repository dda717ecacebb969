"""Flows: exact shifts by Fourier, bilinear warps as grid_sample makes them, and derivatives against closed forms."""

from math import pi

import pytest
import torch

from equistudy.groups.group import Grid
from equistudy.groups.one_parameter import (
    HyperbolicRotation,
    OneParameterGroup,
    Rotation,
    Saturation,
    Scaling,
    Shear,
    Stretch,
)
from equistudy.groups.resampling import warp
from equistudy.groups.translation import Border, Translation
from equistudy.measures.lie_derivative import LieDerivative
from equistudy.measuring.derivatives import differentiate_at_zero
from equistudy.measuring.flow import Flow

GRID = Grid(12, 16, 1, 12, 16, 0.0, 0.0)
RIGHT, DOWN = LieDerivative(Translation(border=Border.CIRCULAR)).flows()
ZERO = torch.zeros((), dtype=torch.float64)


def noise() -> torch.Tensor:
    return torch.randn(2, 3, 12, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def derivative(flow: Flow, maps: torch.Tensor, grid: Grid = GRID) -> torch.Tensor:
    return differentiate_at_zero(lambda t: flow.act(maps, t, grid), maps)[1]


@pytest.mark.parametrize(("flow", "shifts"), [(RIGHT, (0, 3)), (DOWN, (3, 0))])
def test_whole_shifts_move_content_right_and_down(flow: Flow, shifts: tuple[int, int]) -> None:
    images = noise()
    torch.testing.assert_close(flow.act(images, ZERO + 3, GRID), images.roll(shifts, (2, 3)), rtol=0, atol=1e-12)
    coarse = Grid(12, 16, 4, 48, 64)
    torch.testing.assert_close(flow.act(images, ZERO + 12, coarse), images.roll(shifts, (2, 3)), rtol=0, atol=1e-12)


def test_the_derivative_of_a_wave_is_a_wave() -> None:
    x = 2 * pi * 3 * torch.arange(16, dtype=torch.float64) / 16
    wave = x.sin().expand(1, 1, 12, 16)
    torch.testing.assert_close(derivative(RIGHT, wave), -(2 * pi * 3 / 16) * x.cos().expand_as(wave))


@pytest.mark.parametrize("group", [Rotation(), Scaling(), Shear(), Stretch(), HyperbolicRotation()])
def test_bilinear_flows_are_the_warps_of_the_group_inside(group: OneParameterGroup) -> None:
    (flow,), images = LieDerivative(group).flows(), noise()
    for t in (0.04, -0.07) if not isinstance(group, Rotation) else (7.0, -11.0):
        moved = flow.act(images, ZERO + t, GRID)
        elements = torch.full((2, 1), t, dtype=torch.float64)
        expected = warp(images, group.matrices(elements))
        torch.testing.assert_close(moved[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], rtol=0, atol=1e-8)


def test_a_flow_is_exact_at_the_identity_and_its_derivative_is_one_sided() -> None:
    images = noise()
    (right, down), (turn,) = LieDerivative(Translation()).flows(), LieDerivative(Rotation()).flows()
    for flow in (right, down, turn):
        assert torch.equal(flow.act(images, ZERO, GRID), images)
    step = images[..., 1:] - images[..., :-1]
    torch.testing.assert_close(derivative(right, images)[..., :-1], -step, rtol=0, atol=1e-12)
    assert (derivative(right, images)[..., -1] == 0).all()  # the border is continued


def test_derivatives_of_a_ramp_are_the_velocity() -> None:
    y, x = torch.meshgrid(torch.arange(12.0) - 5.5, torch.arange(16.0) - 7.5, indexing="ij")
    ramp = x.double().expand(1, 1, 12, 16)
    (turn,) = LieDerivative(Rotation()).flows()
    # Counter-clockwise as displayed: what lies above, y < 0, moves to the left.
    expected = -(pi / 180) * y.double().expand_as(ramp)
    torch.testing.assert_close(derivative(turn, ramp)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


def test_the_true_centre_of_a_map_is_what_it_turns_about() -> None:
    (turn,) = LieDerivative(Rotation()).flows()
    shifted = Grid(12, 16, 1, 13, 17, 0.0, 0.0)  # the centre of the image lies half a cell further
    y = torch.arange(12, dtype=torch.float64) - 6
    ramp = (torch.arange(16, dtype=torch.float64)).expand(1, 1, 12, 16)
    found = derivative(turn, ramp, shifted)[0, 0, 1:-1, 5]
    torch.testing.assert_close(found, -(pi / 180) * y[1:-1])


@pytest.mark.parametrize(
    "group",
    [
        Rotation(),
        Scaling(),
        Shear(),
        Stretch(),
        HyperbolicRotation(),
        Translation(),
        Translation(border=Border.CIRCULAR),
        Saturation(),
    ],
)
@pytest.mark.parametrize("grid", [GRID, Grid(12, 16, 4, 48, 64, 1.5, 0.5)])
def test_the_motion_is_the_derivative_at_rest(group: OneParameterGroup | Translation | Saturation, grid: Grid) -> None:
    for flow in LieDerivative(group).flows():
        torch.testing.assert_close(flow.motion(noise(), grid), derivative(flow, noise(), grid), rtol=0, atol=1e-12)
