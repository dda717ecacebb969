"""Generators of space: directions by hand, names as columns, and twelve that span the affine maps."""

import math

import pytest
import torch

from equistudy.augmentations.learned.space import (
    AFFINE3,
    SE3,
    SO3,
    Axis,
    SpaceRotation,
    SpaceScaling,
    SpaceShear,
    SpaceSqueeze,
    SpaceTranslation,
)
from equistudy.spec import to_canonical_json

ONE = torch.tensor([0.5, -1.0, 2.0, 1.0])


def moved(generator, amount):
    return (torch.linalg.matrix_exp(amount * generator.rate * torch.tensor(generator.rows)) @ ONE)[:3]


def test_directions_and_units():
    """At (1/2, -1, 2): a quarter turn about z takes x to y, by the right hand."""
    expected = {
        SpaceRotation(axis=Axis.Z): (90.0, [1.0, 0.5, 2.0]),
        SpaceRotation(axis=Axis.X): (90.0, [0.5, -2.0, -1.0]),
        SpaceRotation(axis=Axis.Y): (90.0, [2.0, -1.0, -0.5]),
        SpaceTranslation(axis=Axis.Y): (3.0, [0.5, 2.0, 2.0]),
        SpaceSqueeze(axis=Axis.Z): (math.log(2), [0.25, -1.0, 4.0]),
        SpaceScaling(): (math.log(2), [1.0, -2.0, 4.0]),
        SpaceShear(axis=Axis.Z): (math.log(2), [0.5 * 1.25 - 0.75, 0.5 * 0.75 - 1.25, 2.0]),
    }
    for generator, (amount, place) in expected.items():
        torch.testing.assert_close(moved(generator, amount), torch.tensor(place), atol=1e-6, rtol=0)


def test_the_twelve_are_a_basis():
    matrix = torch.tensor([generator.rows for generator in AFFINE3])
    assert matrix.shape == (12, 4, 4)
    assert torch.linalg.matrix_rank(matrix.flatten(1)) == 12
    assert (
        len({generator.name for generator in AFFINE3})
        == len({to_canonical_json(generator) for generator in AFFINE3})
        == 12
    )
    assert SE3[:3] == SO3 == AFFINE3[:3]
    assert [generator.name for generator in SO3] == ["rotation_x", "rotation_y", "rotation_z"]


@pytest.mark.parametrize("bad", [None, 181.0, math.nan])
def test_rotations_end_at_their_period(bad):
    with pytest.raises(ValueError, match=r"at most its period, 180 degrees to each side, got cap=.*Use 180"):
        SpaceRotation(cap=bad)
