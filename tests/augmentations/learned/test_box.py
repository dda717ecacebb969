"""The box: its exponentials against torch's over every kind of generator, units, caps, and what is refused.

The test copies' elements: even along each axis, and axes that can be told apart.
Haar rotations against their density, SciPy's uniform rotations, and finite differences.
"""

import math
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation
from scipy.stats import kstest

from equistudy.augmentations.learned.box import Box, haar_vectors, latin_hypercube
from equistudy.augmentations.learned.colours import COLOUR
from equistudy.augmentations.learned.generators import (
    AFFINE,
    GL2,
    SE2,
    Domain,
    MatrixGenerator,
    RotationGenerator,
    ScalingGenerator,
    TranslationXGenerator,
)
from equistudy.augmentations.learned.space import AFFINE3, SE3, SO3, SpaceRotation
from equistudy.groups.exponential import rotation_exponentials

OWN = (
    MatrixGenerator(name="shear_x"),
    MatrixGenerator(name="red", matrix=((0.0,) * 3 + (1.0,), *((0.0,) * 4,) * 3), domain=Domain.COLOUR),
    MatrixGenerator(name="screw", matrix=((0, -1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1), (0,) * 4), domain=Domain.SPACE),
)
BOXES = {
    "rotation": (RotationGenerator(),),
    "se2": SE2,
    "gl2": GL2,
    "affine": AFFINE,
    "so3": SO3,
    "se3": SE3,
    "affine3": AFFINE3,
    "colour": COLOUR,
    "own": OWN,
    "mixed": (*COLOUR[:2], *SE2, COLOUR[3]),
    "turns twice": (RotationGenerator(), MatrixGenerator(name="other", matrix=RotationGenerator().rows)),
}


def drawn(box, count=50, seed=0):
    return 2 * torch.rand(count, len(box.generators), generator=torch.Generator().manual_seed(seed)) - 1


def expected(box, units, domain, sign=1.0):
    """Term by term in float64, exponentiated by torch."""
    total = torch.zeros(len(units), domain.size, domain.size, dtype=torch.float64)
    for unit, generator in zip(units.double().T, box.generators, strict=True):
        if generator.domain is domain:
            matrix = torch.tensor(generator.rows, dtype=torch.float64)
            total += sign * unit[:, None, None] * generator.start * generator.rate * matrix
    return torch.linalg.matrix_exp(total)


@pytest.mark.parametrize("name", BOXES)
def test_maps_are_the_exponentials_of_sums_of_generators(name):
    box = Box(BOXES[name])
    units = drawn(box)
    for domain in Domain:
        if not box.acts_on(domain):
            continue
        for inverse in (False, True):
            found = box.compute_maps(units, domain, inverse=inverse)
            assert found.shape == (50, domain.size - 1, domain.size)
            exact = expected(box, units, domain, -1.0 if inverse else 1.0)
            torch.testing.assert_close(found.double(), exact[:, :-1], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["rotation", "affine", "so3", "se3", "affine3", "colour"])
def test_gradients_equal_those_through_torchs_exponential(name):
    box = Box(BOXES[name])
    units, domain = drawn(box, 8), box.generators[0].domain
    (found,) = torch.autograd.grad(box.compute_maps(units, domain).square().sum(), box.raw)
    raw = box.raw.detach().double().requires_grad_()
    extents = box.scales.double() * torch.nn.functional.softplus(raw)
    matrices = torch.tensor([generator.rows for generator in box.generators], dtype=torch.float64)
    exponents = (units.double() * extents * box.rates.double()) @ matrices.flatten(1)
    exact = torch.linalg.matrix_exp(exponents.unflatten(1, matrices.shape[1:]))[:, :-1]
    (reference,) = torch.autograd.grad(exact.square().sum(), raw)
    torch.testing.assert_close(found.double(), reference, atol=1e-4, rtol=1e-4)


def test_rigid_boxes_are_isometries():
    maps = Box(
        tuple(g.with_start(150.0) if isinstance(g, SpaceRotation) else g.with_start(2.0) for g in SE3)
    ).compute_maps(drawn(Box(SE3)), Domain.SPACE)
    linear = maps[..., :3]
    torch.testing.assert_close(linear @ linear.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(linear), torch.ones(50))


def test_mixed_precision_leaves_the_maps_alone():
    for generators in (AFFINE, SE3, AFFINE3, COLOUR):
        box, domain = Box(generators), generators[0].domain
        plain = box.compute_maps(drawn(box), domain)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(box.compute_maps(drawn(box), domain), plain)


def test_half_extents_have_physical_units():
    box = Box(
        (
            RotationGenerator(start=45.0),
            TranslationXGenerator(start=3.0),
            ScalingGenerator(start=0.2).without_learning(),
        )
    )
    torch.testing.assert_close(box.extents, torch.tensor([45.0, 3.0, 0.2]))
    # full widths, in coefficients: radians and pixels; what is not learned is left out
    torch.testing.assert_close(box.widths, torch.tensor([math.pi / 2, 6.0]))


def test_beyond_a_cap_the_cap_counts():
    box = Box((RotationGenerator(start=90.0), ScalingGenerator(cap=0.5)))
    with torch.no_grad():
        box.raw += 100
    assert box.extents.tolist() == pytest.approx([180.0, 0.5])
    box.project()
    assert box.learned_extents.tolist() == pytest.approx([180.0, 0.5], rel=1e-5)


SHAPES = [(n, P) for n in (1, 2, 3, 4, 5, 7, 8, 12, 32) for P in (1, 2, 3, 6, 12)]


@pytest.mark.parametrize(("num_points", "dimensions"), SHAPES)
def test_each_axis_takes_each_midpoint_once(num_points, dimensions):
    points = latin_hypercube(num_points, dimensions)
    midpoints = (2 * torch.arange(num_points) + 1) / num_points - 1
    assert points.dtype == torch.float32
    torch.testing.assert_close(points.sort(dim=0).values, midpoints[:, None].expand(-1, dimensions))


@pytest.mark.parametrize(
    ("num_points", "dimensions", "largest"),
    [
        (4, 2, 1e-6),
        (4, 3, 0.41),
        (4, 6, 0.61),  # six lines in the three dimensions that four points leave; the least of all choices, see below
        (5, 3, 0.11),
        (8, 6, 0.2),
        (12, 6, 0.15),
        (32, 6, 0.1),
        (8, 12, 0.5),
    ],
)
def test_axes_are_little_correlated(num_points, dimensions, largest):
    correlations = np.corrcoef(latin_hypercube(num_points, dimensions).numpy().T) - np.eye(dimensions)
    assert np.abs(correlations).max() < largest


def test_four_points_along_six_axes_are_the_best_there_are():
    """Of all sets of six of the twelve orders that differ by more than a reflection."""
    orders = [np.array(each) for each in permutations((-3, -1, 1, 3)) if each < tuple(-value for value in each)]
    overlaps = np.abs(np.array(orders) @ np.array(orders).T) / 20 - np.eye(len(orders))
    least = min(overlaps[np.ix_(chosen, chosen)].max() for chosen in combinations(range(len(orders)), 6))
    correlations = np.corrcoef(latin_hypercube(4, 6).numpy().T) - np.eye(6)
    assert np.abs(correlations).max() == pytest.approx(least)


def test_points_are_the_same_in_every_process():
    torch.testing.assert_close(
        latin_hypercube(4, 3),
        torch.tensor([[-0.75, 0.25, -0.25], [-0.25, -0.75, 0.75], [0.25, 0.75, 0.25], [0.75, -0.25, -0.75]]),
    )
    assert not torch.equal(latin_hypercube(8, 3)[:, 0], latin_hypercube(8, 3)[:, 1])


def draw_units(count, dtype=torch.float64):
    return 2 * torch.rand(count, 3, dtype=dtype, generator=torch.Generator().manual_seed(0)) - 1


@pytest.mark.parametrize("degrees", [0.01, 5.0, 60.0, 120.0, 180.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_angles_invert_the_distribution_of_the_haar_measure(degrees, dtype, tolerance):
    largest, units = math.radians(degrees), draw_units(50, dtype)
    found = haar_vectors(units, torch.tensor(largest, dtype=dtype)).norm(dim=1).double() / largest
    for share, unit in zip(found.tolist(), units[:, 2].abs().tolist(), strict=True):
        # a - sin a by its series where it cancels
        def mass(a):
            return a**3 / 6 - a**5 / 120 if a < 1e-2 else a - math.sin(a)

        expected = brentq(lambda r, unit=unit: mass(largest * r) - unit * mass(largest), 0, 1, xtol=1e-15)
        assert share == pytest.approx(expected, abs=max(tolerance, 1e-9 if degrees < 1 else 0))


def test_half_a_turn_reaches_every_rotation_equally_often():
    """Angles, and where points of the sphere go, as for SciPy's uniform rotations; a box of vectors is not uniform."""
    ours = rotation_exponentials(haar_vectors(draw_units(20_000), torch.tensor(math.pi, dtype=torch.float64))).numpy()
    theirs = Rotation.random(20_000, random_state=0).as_matrix()
    vectors = math.pi * draw_units(20_000)
    boxed = rotation_exponentials(vectors).numpy()
    for compute in (lambda R: np.trace(R, axis1=1, axis2=2), lambda R: R[:, 0, 2], lambda R: R[:, 1, 1]):
        values = [np.sort(compute(R)) for R in (ours, theirs, boxed)]
        assert kstest(values[0], values[1]).pvalue > 0.01
    assert kstest(ours[:, 1, 1], "uniform", args=(-1, 2)).pvalue > 0.01
    assert kstest(boxed[:, 1, 1], "uniform", args=(-1, 2)).pvalue < 1e-6


def test_no_unit_is_the_identity_and_opposite_units_are_inverse():
    units = draw_units(20)
    largest = torch.tensor(2.0, dtype=torch.float64)
    flipped = units * torch.tensor([1.0, 1.0, -1.0])
    torch.testing.assert_close(haar_vectors(units, largest), -haar_vectors(flipped, largest))
    units[:, 2] = 0
    assert torch.equal(haar_vectors(units, largest), torch.zeros(20, 3, dtype=torch.float64))


@pytest.mark.parametrize("largest", [0.05, 1.0, 3.1, math.pi])
def test_first_and_second_derivatives(largest):
    units = draw_units(8)
    radius = torch.tensor(largest, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: haar_vectors(units, h), radius)
    assert torch.autograd.gradgradcheck(lambda h: haar_vectors(units, h), radius)
