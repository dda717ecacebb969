"""Closed forms against torch's matrix exponential where they are hard: near zero, on cones, at half turns."""

import math
from functools import partial

import pytest
import torch
from scipy.linalg import expm

from equistudy.groups.exponential import affine_exponentials, plane_rotations, rigid_exponentials, rotation_exponentials

ROTATION = torch.tensor([[0.0, 1, 0], [-1, 0, 0]], dtype=torch.float64)


def reference(matrices):
    """The upper two rows of torch's exponential of the whole 3 x 3 matrices."""
    last = matrices.new_zeros(*matrices.shape[:-2], 1, 3)
    return torch.linalg.matrix_exp(torch.cat([matrices, last], dim=-2))[..., :2, :]


def drawn(count, half=1.0, seed=0):
    """Affine generators with independent coefficients, as the box of six generators has them."""
    rng = torch.Generator().manual_seed(seed)
    tx, ty, r, s, d, h = half * (2 * torch.rand(6, count, generator=rng, dtype=torch.float64) - 1)
    rows = [torch.stack([s + d, h + r, tx], dim=-1), torch.stack([h - r, s - d, ty], dim=-1)]
    return torch.stack(rows, dim=-2)


def difficult():
    """Generators at which one of the formulas in use, or one in common use, is singular."""
    cases = []
    for size in (0.0, 1e-12, 1e-6, 1e-3, 0.0999, 0.1, 0.1001, 1.0):
        for sign in (1, -1):  # D = sign size^2: both sides of the change from hyperbolic to circular, and of the series
            cases.append([[0.3, size, 0.7], [sign * size, 0.3, -0.4]])
        cases.append([[size, 0.0, 1.0], [0.0, -size, 1.0]])
        cases.append([[2 * size, 0.0, 1.0], [0.0, 0.0, 1.0]])  # det A = 0 with A not 0
        cases.append([[size, size, 1.0], [size, size, -1.0]])  # the same, off the axes
        cases.append([[0.0, size, 1.0], [0.0, 0.0, 1.0]])  # nilpotent
    cases += [[[0.0, turn, 1.0], [-turn, 0.0, 2.0]] for turn in (math.pi / 2, math.pi, 3.0, -math.pi)]
    return torch.tensor(cases, dtype=torch.float64)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@pytest.mark.parametrize("matrices", [drawn(10_000), difficult()], ids=["drawn", "difficult"])
def test_equals_the_matrix_exponential(matrices, dtype, tolerance):
    found = affine_exponentials(matrices.to(dtype))
    assert found.dtype == dtype
    assert (found - reference(matrices)).abs().max() < tolerance


@pytest.mark.parametrize("matrices", [drawn(1000), difficult()], ids=["drawn", "difficult"])
def test_gradients_equal_those_of_the_matrix_exponential(matrices):
    matrices.requires_grad_()
    weights = torch.randn(matrices.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found, expected = (
        torch.autograd.grad((function(matrices) * weights).sum(), matrices)[0]
        for function in (affine_exponentials, reference)
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    single = matrices.detach().float().requires_grad_()
    (found,) = torch.autograd.grad((affine_exponentials(single) * weights.float()).sum(), single)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0, 6.0, 10.0, 20.0, 30.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 5e-5)])
def test_equals_that_of_scipy_at_every_scale(scale, dtype, tolerance):
    """Relative to the largest entry, which float32 can be off by its rounding of the generators, some 6e-8 times 30."""
    matrices = torch.cat([drawn(300, scale), scale * difficult()[-20:] / 4])
    matrices = matrices.to(dtype).double()
    whole = torch.cat([matrices, matrices.new_zeros(len(matrices), 1, 3)], dim=1)
    expected = torch.stack([torch.from_numpy(expm(matrix.numpy())) for matrix in whole])[:, :2]
    found = affine_exponentials(matrices.to(dtype)).double()
    largest = expected.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1)
    assert ((found - expected) / largest).abs().max() < tolerance


def test_only_what_is_too_large_itself_overflows():
    """A contraction by e^-100 along both axes, with a stretch of e^90 along one of them."""
    matrices = torch.tensor([[[-10.0, 0.0, 1.0], [0.0, -190.0, 1.0]]], requires_grad=True)
    found = affine_exponentials(matrices)
    torch.testing.assert_close(found[0, 0, 0], torch.tensor(math.exp(-10)), rtol=1e-4, atol=0)
    (slope,) = torch.autograd.grad(found.sum(), matrices)
    assert found.isfinite().all()
    assert slope.isfinite().all()


@pytest.mark.parametrize("matrices", [drawn(6), drawn(4, 4.0), difficult()], ids=["drawn", "large", "difficult"])
def test_second_derivatives(matrices):
    for few in matrices.split(4):  # the check's time is quadratic in their number
        assert torch.autograd.gradgradcheck(affine_exponentials, few.clone().requires_grad_())


@pytest.mark.parametrize("count", [5, 200])
def test_second_derivatives_equal_those_of_the_matrix_exponential(count):
    matrices = drawn(count, 2.0).requires_grad_()
    rng = torch.Generator().manual_seed(1)
    weights, direction = (torch.randn(matrices.shape, dtype=torch.float64, generator=rng) for _ in range(2))
    found = []
    for function in (affine_exponentials, reference):
        (slope,) = torch.autograd.grad((function(matrices) * weights).sum(), matrices, create_graph=True)
        found += torch.autograd.grad((slope * direction).sum(), matrices)
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


def test_opposite_generators_undo_each_other():
    there, back = (affine_exponentials(sign * drawn(500)) for sign in (1, -1))
    linear = back[..., :2] @ there[..., :2]
    moved = back[..., :2] @ there[..., 2:] + back[..., 2:]
    torch.testing.assert_close(linear, torch.eye(2).double().expand(500, 2, 2), rtol=0, atol=1e-12)
    assert moved.abs().max() < 1e-12


def test_one_step_of_runge_kutta_is_no_exponential():
    """A degree-4 polynomial, which stands in for an exponential elsewhere: at half a turn it is off by more than 1."""
    turn = math.pi * ROTATION[:, :2]
    polynomial = sum(torch.linalg.matrix_power(turn, k) / math.factorial(k) for k in range(5))
    assert (polynomial + torch.eye(2)).abs().max() > 1
    ours = affine_exponentials((math.pi * ROTATION).float())[:, :2]
    assert (ours + torch.eye(2)).abs().max() < 1e-5


def test_it_can_be_mapped_over():
    matrices = drawn(12).unflatten(0, (3, 4)).requires_grad_()
    mapped = torch.vmap(torch.vmap(affine_exponentials))(matrices)
    torch.testing.assert_close(mapped, affine_exponentials(matrices))
    slopes = torch.vmap(torch.func.grad(lambda matrix: affine_exponentials(matrix).square().sum()))(drawn(5))
    matrices = drawn(5).requires_grad_()
    (expected,) = torch.autograd.grad(affine_exponentials(matrices).square().sum(), matrices)
    torch.testing.assert_close(slopes, expected)


def test_mixed_precision_leaves_it_alone():
    matrices = drawn(50).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = affine_exponentials(matrices)
    assert torch.equal(found, affine_exponentials(matrices))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_rotations_of_space(dtype, tolerance):
    rng = torch.Generator().manual_seed(0)
    vectors = torch.randn(1000, 3, generator=rng, dtype=torch.float64)
    vectors = torch.cat([vectors, 1e-9 * vectors[:9], math.pi * torch.eye(3).double(), torch.zeros(1, 3).double()])
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    crosses = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    found = rotation_exponentials(vectors.to(dtype))
    assert (found - torch.linalg.matrix_exp(crosses)).abs().max() < tolerance
    vectors.requires_grad_()
    (slope,) = torch.autograd.grad(rotation_exponentials(vectors).sum(), vectors)
    assert slope.isfinite().all()


def test_rotations_of_the_plane():
    radians = torch.linspace(-7, 7, 29, dtype=torch.float64)
    torch.testing.assert_close(plane_rotations(radians), affine_exponentials(radians[:, None, None] * ROTATION))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_rigid_motions_of_space(dtype, tolerance):
    """Against torch, from no turn to more than a half, on both sides of where the series ends."""
    rng = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(400, 3, generator=rng, dtype=torch.float64), dim=-1)
    sizes = torch.tensor([0.0, 1e-9, 1e-4, 0.0999, 0.1, 0.9999, 1.0, 1.0001, 2.5, math.pi, 3.5])
    x, y, z = (vectors * sizes.repeat(37)[:400, None]).unbind(-1)
    zero, shift = torch.zeros_like(x), torch.randn(400, 3, generator=rng, dtype=torch.float64)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    matrices = torch.cat([cross, shift[..., None]], dim=-1)
    whole = torch.cat([matrices, torch.zeros(400, 1, 4)], dim=1).requires_grad_()
    exact = torch.linalg.matrix_exp(whole)[:, :3]
    assert (rigid_exponentials(matrices.to(dtype)) - exact).abs().max() < tolerance
    if dtype == torch.float64:
        weights = torch.randn(exact.shape, generator=rng, dtype=torch.float64)
        matrices.requires_grad_()
        (found,) = torch.autograd.grad((rigid_exponentials(matrices) * weights).sum(), matrices)
        (slope,) = torch.autograd.grad((exact * weights).sum(), whole)
        # along the antisymmetric directions alone: the others leave the rigid motions
        turns = [found[:, i, j] - found[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))]
        expected = [slope[:, i, j] - slope[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))]
        torch.testing.assert_close(torch.stack(turns), torch.stack(expected), rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(found[..., 3], slope[:, :3, 3], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 6.0, 10.0, 30.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_rigid_motions_equal_those_of_scipy_at_every_scale(scale, dtype, tolerance):
    rng = torch.Generator().manual_seed(0)
    x, y, z = (scale * (2 * torch.rand(200, 3, generator=rng, dtype=torch.float64) - 1)).unbind(-1)
    zero, shift = torch.zeros_like(x), scale * torch.randn(200, 3, 1, generator=rng, dtype=torch.float64)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    matrices = torch.cat([cross, shift], dim=-1).to(dtype)
    whole = torch.cat([matrices.double(), torch.zeros(200, 1, 4)], dim=1)
    expected = torch.stack([torch.from_numpy(expm(matrix.numpy())) for matrix in whole])[:, :3]
    largest = expected.abs().amax(dim=(1, 2), keepdim=True)
    assert ((rigid_exponentials(matrices).double() - expected) / largest).abs().max() < tolerance


@pytest.mark.parametrize("function", [rotation_exponentials, rigid_exponentials, plane_rotations])
def test_second_derivatives_of_rotations(function):
    rng = torch.Generator().manual_seed(0)
    shape = {rotation_exponentials: (5, 3), rigid_exponentials: (5, 3, 4), plane_rotations: (5,)}[function]
    given = torch.randn(shape, generator=rng, dtype=torch.float64)
    given[0] = 0
    assert torch.autograd.gradgradcheck(function, given.requires_grad_())


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # of torch's own hessian
@pytest.mark.parametrize("matrices", [drawn(3), difficult()[:6]], ids=["drawn", "difficult"])
def test_hessians_of_every_kind(matrices):
    """Forward over reverse, reverse over reverse, and forward mode by itself."""

    def compute_loss(function, given):
        return (function(given) * torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)).square().sum()

    expected = torch.func.jacrev(torch.func.jacrev(partial(compute_loss, reference)))(matrices)
    for hessian in (torch.func.hessian, lambda loss: torch.func.jacrev(torch.func.jacrev(loss))):
        found = hessian(partial(compute_loss, affine_exponentials))(matrices)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    direction = drawn(len(matrices), seed=3)
    for function in (affine_exponentials, reference):
        _, tangent = torch.func.jvp(function, (matrices,), (direction,))
        slopes = torch.func.jacrev(reference)(matrices)
        torch.testing.assert_close(tangent, torch.einsum("nijmkl,mkl->nij", slopes, direction), rtol=1e-9, atol=1e-9)
