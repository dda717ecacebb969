"""Haar rotations against their density, SciPy's uniform rotations, and finite differences."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from equistudy.groups.exponential import rotation_exponentials
from equistudy.groups.haar import haar_vectors


def drawn(count, dtype=torch.float64):
    return 2 * torch.rand(count, 3, dtype=dtype, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("degrees", [0.01, 5.0, 60.0, 120.0, 180.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_angles_invert_the_distribution_of_the_haar_measure(degrees, dtype, tolerance):
    largest, units = math.radians(degrees), drawn(50, dtype)
    found = haar_vectors(units, torch.tensor(largest, dtype=dtype)).norm(dim=1).double() / largest
    for share, unit in zip(found.tolist(), units[:, 2].abs().tolist(), strict=True):
        # a - sin a by its series where it cancels
        def mass(a):
            return a**3 / 6 - a**5 / 120 if a < 1e-2 else a - math.sin(a)

        expected = brentq(lambda r, unit=unit: mass(largest * r) - unit * mass(largest), 0, 1, xtol=1e-15)
        assert share == pytest.approx(expected, abs=max(tolerance, 1e-9 if degrees < 1 else 0))


def test_half_a_turn_reaches_every_rotation_equally_often():
    """Angles, and where points of the sphere go, as for SciPy's uniform rotations; a box of vectors is not uniform."""
    ours = rotation_exponentials(haar_vectors(drawn(20_000), torch.tensor(math.pi, dtype=torch.float64))).numpy()
    theirs = Rotation.random(20_000, random_state=0).as_matrix()
    vectors = math.pi * drawn(20_000)
    boxed = rotation_exponentials(vectors).numpy()
    for compute in (lambda R: np.trace(R, axis1=1, axis2=2), lambda R: R[:, 0, 2], lambda R: R[:, 1, 1]):
        values = [np.sort(compute(R)) for R in (ours, theirs, boxed)]
        assert kstest(values[0], values[1]).pvalue > 0.01
    assert kstest(ours[:, 1, 1], "uniform", args=(-1, 2)).pvalue > 0.01
    assert kstest(boxed[:, 1, 1], "uniform", args=(-1, 2)).pvalue < 1e-6


def test_no_unit_is_the_identity_and_opposite_units_are_inverse():
    units = drawn(20)
    largest = torch.tensor(2.0, dtype=torch.float64)
    flipped = units * torch.tensor([1.0, 1.0, -1.0])
    torch.testing.assert_close(haar_vectors(units, largest), -haar_vectors(flipped, largest))
    units[:, 2] = 0
    assert torch.equal(haar_vectors(units, largest), torch.zeros(20, 3, dtype=torch.float64))


@pytest.mark.parametrize("largest", [0.05, 1.0, 3.1, math.pi])
def test_first_and_second_derivatives(largest):
    units = drawn(8)
    radius = torch.tensor(largest, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: haar_vectors(units, h), radius)
    assert torch.autograd.gradgradcheck(lambda h: haar_vectors(units, h), radius)
