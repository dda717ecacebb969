"""The groups of one parameter: signs, generators against closed forms, and elements that are refused.

Gains form a group, and act on values alone.
"""

import math
from typing import Any

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
from equistudy.groups.resampling import rotation_matrices, warp


def spot(x: int, y: int) -> torch.Tensor:
    """A bright pixel, x to the right of the centre and y below it."""
    image = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    image[..., 10 + y, 10 + x] = 1
    return image


def place(images: torch.Tensor) -> tuple[float, float]:
    line = torch.arange(21, dtype=torch.float64) - 10
    total = images.sum()
    return float((images * line).sum() / total), float((images * line[:, None]).sum() / total)


@pytest.mark.parametrize(
    ("group", "parameter", "start", "end"),
    [
        (Rotation(), 90.0, (6, 0), (0, -6)),
        (Rotation(), -90.0, (6, 0), (0, 6)),
        (Rotation(), 30.0, (8, 0), (8 * math.cos(math.pi / 6), -4)),
        (Scaling(), math.log(1.5), (4, 2), (6, 3)),
        (Stretch(), math.log(1.5), (4, 2), (6, 2)),
        (HyperbolicRotation(), math.log(2.0), (4, 6), (8, 3)),
        (Shear(), 0.5, (2, 4), (4, 4)),
        (Shear(), 0.5, (2, -4), (0, -4)),
    ],
)
def test_positive_parameters_move_content_as_documented(
    group: Any, parameter: float, start: tuple[int, int], end: tuple[float, float]
) -> None:
    moved = group.act(spot(*start), torch.tensor([[parameter]], dtype=torch.float64))
    assert place(moved) == pytest.approx(end, abs=0.1)


def test_a_turn_by_90_degrees_is_rot90_exactly() -> None:
    images = torch.rand(3, 2, 9, 9)
    moved = Rotation().act(images, torch.tensor([[90.0], [180.0], [-90.0]]))
    for image, result, turns in zip(images, moved, (1, 2, -1), strict=True):
        assert torch.equal(result, torch.rot90(image, turns, dims=(1, 2)))
    assert torch.equal(Rotation().views(images, None)[3], torch.rot90(images, 3, dims=(2, 3)))


@pytest.mark.parametrize("group", [Rotation(), Scaling(), Shear(), Stretch(), HyperbolicRotation()], ids=str)
def test_the_matrices_are_exponentials_of_the_generator(group: OneParameterGroup) -> None:
    # a thousand steps of a thousandth of the parameter, each to second order
    parameter = torch.tensor([[0.4]], dtype=torch.float64) / group.RATE
    step = -0.4e-3 * torch.tensor(group.GENERATOR, dtype=torch.float64)
    near = torch.linalg.matrix_power(torch.eye(3) + step + step @ step / 2, 1000)
    torch.testing.assert_close(group.matrices(parameter)[0], near[:2], rtol=0, atol=1e-7)
    # content moves along the generator: minus the derivative of the output-to-input map
    zero = torch.zeros(1, 1, dtype=torch.float64)
    slope = torch.autograd.functional.jacobian(group.matrices, zero).view(2, 3)
    torch.testing.assert_close(-slope / group.RATE, torch.tensor(group.GENERATOR, dtype=torch.float64)[:2])


def test_rotations_are_those_of_the_warp() -> None:
    angles = torch.tensor([10.0, 123.0, -70.0], dtype=torch.float64)
    torch.testing.assert_close(Rotation().matrices(angles[:, None]), rotation_matrices(angles))
    images = torch.rand(3, 1, 8, 11)
    torch.testing.assert_close(Rotation().act(images, angles[:, None]), warp(images, rotation_matrices(angles)))


def test_oblong_images_are_turned_by_the_warp() -> None:
    images = torch.rand(1, 1, 6, 9, dtype=torch.float64)
    moved = Rotation().act(images, torch.tensor([[90.0]], dtype=torch.float64))
    assert moved.shape == images.shape
    assert (moved[..., 0] == 0).all()


def test_elements_have_magnitudes_in_their_unit() -> None:
    assert [element.magnitude for element in Rotation(degrees=(-15.0, 270.0)).elements()] == [15, 270]
    assert [element.label for element in Scaling().elements()] == ["x0.8", "x1.25"]
    shrink, enlarge = Scaling().elements()
    assert shrink.magnitude == pytest.approx(enlarge.magnitude) == math.log(1.25)
    assert [element.label for element in Shear(shears=(-0.3,)).elements()] == ["shear=-0.3"]


def test_samples_span_the_elements_and_no_more_than_a_circle() -> None:
    rng = torch.Generator().manual_seed(0)
    for group, largest in ((Rotation(), 180), (Rotation(degrees=(15.0, -30.0)), 30), (Shear(), 0.2)):
        drawn = group.sample(4000, rng)
        assert drawn.abs().max() == pytest.approx(largest, rel=0.01)
        assert drawn.mean() == pytest.approx(0, abs=0.05 * largest)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Rotation, (), r"one or more distinct finite numbers.* got degrees=\(\)"),
        (Rotation, (90.0, 360.0), "no multiples of 360"),
        (Rotation, (5.0, 5.0), "distinct"),
        (Rotation, (math.inf,), "finite"),
        (Scaling, (1.0,), "positive, not 1"),
        (Scaling, (-0.5,), r"positive.*For example factors=\(0\.8, 1\.25\)"),
        (Shear, (0.0,), "other than 0"),
    ],
)
def test_impossible_elements_are_refused(kind: Any, values: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(values)


def test_gains_multiply_and_have_inverses() -> None:
    group, rng = Saturation(), torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 5, 6, generator=rng, dtype=torch.float64)
    first, second = group.sample(4, rng), group.sample(4, rng)
    both = group.act(images, group.compose(first, second))
    torch.testing.assert_close(both, group.act(group.act(images, second), first), rtol=1e-6, atol=0)
    torch.testing.assert_close(group.act(both, group.inverse(group.compose(first, second))), images)
    torch.testing.assert_close(both / images, (first + second).double().exp()[..., None, None].expand_as(images))


def test_it_has_no_elements_and_no_views() -> None:
    assert Saturation().elements() == ()
    assert Saturation().obstacle(Grid(3, 5, 7, 20, 40)) is None
    with pytest.raises(ValueError, match=r"need a group that moves content, got Saturation\(\). Use it in LieDeriv"):
        Saturation().views(torch.zeros(1, 1, 4, 4), None)
