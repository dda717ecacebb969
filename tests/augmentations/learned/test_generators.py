"""Generators: which way content moves along each, in which unit, and what is refused."""

import math

import pytest
import torch

from equistudy.augmentations.learned.generators import (
    AFFINE,
    GL2,
    SE2,
    Domain,
    MatrixGenerator,
    RotationGenerator,
    ScalingGenerator,
    TranslationXGenerator,
    TranslationYGenerator,
)
from equistudy.groups.exponential import affine_exponentials
from equistudy.groups.resampling import warp
from equistudy.spec import format_label, to_canonical_json


def moved(images, generator, amount):
    matrix = -amount * generator.rate * torch.tensor(generator.rows[:2])
    return warp(images, affine_exponentials(matrix[None].expand(len(images), 2, 3)))


def test_units_and_directions():
    images = torch.rand(2, 3, 8, 8)
    turned = moved(images, RotationGenerator(), 90.0)
    torch.testing.assert_close(turned, torch.rot90(images, 1, dims=(2, 3)), atol=1e-5, rtol=0)
    right = moved(images, TranslationXGenerator(), 2.0)
    torch.testing.assert_close(right[..., 2:], images[..., :-2], atol=1e-5, rtol=0)
    down = moved(images, TranslationYGenerator(), 3.0)
    torch.testing.assert_close(down[..., 3:, :], images[..., :-3, :], atol=1e-5, rtol=0)
    larger = moved(images, ScalingGenerator(), math.log(7 / 3))  # the 4 x 4 pixels in the middle reach the corners
    torch.testing.assert_close(larger[..., ::7, ::7], images[..., 2:6:3, 2:6:3], atol=1e-5, rtol=0)


def test_the_six_are_a_basis_of_the_affine_generators():
    matrix = torch.tensor([[row for rows in generator.rows[:2] for row in rows] for generator in AFFINE])
    assert matrix.shape == (6, 6)
    assert torch.linalg.matrix_rank(matrix) == 6
    assert {g.name for g in SE2} < {g.name for g in AFFINE} > {g.name for g in GL2}
    assert all(generator.rows[2] == (0.0, 0.0, 0.0) for generator in AFFINE)


def test_variants():
    generator = RotationGenerator().with_start(9.0).without_learning()
    assert (generator.start, generator.learned, generator.cap) == (9.0, False, 180.0)
    assert format_label(RotationGenerator(start=9.0)) == "RotationGenerator(start=9)"
    assert (
        len({to_canonical_json(generator) for generator in (*AFFINE, MatrixGenerator(), RotationGenerator(9.0))}) == 8
    )


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_start_must_be_a_width(bad):
    with pytest.raises(
        ValueError, match=r"start must be positive and finite, got start=.* for rotation\. Use about 2.9 deg"
    ):
        RotationGenerator(start=bad)


def test_a_start_lies_within_its_cap():
    with pytest.raises(ValueError, match=r"start must be at most cap, got start=1.0, cap=0.5 for scaling"):
        ScalingGenerator(start=1.0, cap=0.5)
    with pytest.raises(ValueError, match=r"start must be at most cap, got start=1.0, cap=nan for scaling"):
        ScalingGenerator(start=1.0, cap=math.nan)


@pytest.mark.parametrize("bad", [None, 181.0, math.nan])
def test_rotations_end_at_their_period(bad):
    with pytest.raises(ValueError, match=r"at most its period, 180 degrees to each side, got cap=.*Use 180"):
        RotationGenerator(cap=bad)


ZERO = (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "bad",
    [
        ((0.0, 1.0), (1.0, 0.0)),
        ((0.0, 1.0, 0.0), ZERO),
        ((0.0, 1.0, 0.0), ZERO, (0.0, 0.0, 1.0)),
        (ZERO, ZERO, ZERO),
        ((math.nan, 1.0, 0.0), ZERO, ZERO),
        ((1.0, 0.0, 0.0, 0.0), ZERO, ZERO, ZERO),
    ],
)
def test_a_matrix_of_another_shape(bad):
    with pytest.raises(
        ValueError,
        match=r"domain='plane' needs three rows of three finite numbers, not all 0, .* got matrix=.*example",
    ):
        MatrixGenerator(matrix=bad)


def test_a_matrix_of_space_has_four_rows():
    with pytest.raises(ValueError, match=r"domain='space' needs four rows of four finite numbers, .* got matrix="):
        MatrixGenerator(matrix=RotationGenerator().rows, domain=Domain.SPACE)


def test_a_name_becomes_a_column():
    with pytest.raises(ValueError, match=r"name must be an identifier, .* got name='shear x'\. For example"):
        MatrixGenerator(name="shear x")
