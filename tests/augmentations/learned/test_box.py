"""The box: its exponentials against torch's over every kind of generator, units, caps, and what is refused."""

import math

import pytest
import torch

from equistudy.augmentations.learned.box import Box
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
