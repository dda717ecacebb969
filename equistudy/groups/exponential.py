"""Exponentials of affine generators in closed form: batched, differentiable, without data-dependent branches."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "affine_exponentials",
    "disable_autocast",
    "plane_rotations",
    "rigid_exponentials",
    "rodrigues_third",
    "rotation_exponentials",
]

SERIES_THRESHOLD = 1e-2  # below it the even functions are summed as series, of which five terms are exact in float64
# Gauss-Legendre with 22 nodes integrates exp(u x) over [0, 1] to 1e-14 at |x| = 30, with 17 to 1e-8.
NUM_NODES = 22
NUM_NODES_REDUCED = 17
FACTORIALS = [math.factorial(n) for n in range(14)]
# coefficients of the powers 0 to 4 of D: of C, S and S' together, and of S''
SERIES = [[1 / FACTORIALS[2 * k], 1 / FACTORIALS[2 * k + 1], (k + 1) / FACTORIALS[2 * k + 3]] for k in range(5)]
CURVATURE = [(k + 1) * (k + 2) / FACTORIALS[2 * k + 5] for k in range(5)]


def _build_quadrature(num_nodes: int) -> tuple[list[list[float]], list[list[float]]]:
    """Powers and weights for the Gauss-Legendre nodes on [0, 1], followed by u = 1; see `_QuadratureConstants`.

    The weights give the value at 1, the integral over u, and the integral of u times the function.
    """
    nodes, weights = np.polynomial.legendre.leggauss(num_nodes)
    u, integral = np.append((nodes + 1) / 2, 1.0), np.append(weights / 2, 0.0)
    return np.array([u**0, u, u**3]).tolist(), np.array([u == 1, integral, u * integral]).tolist()


QUADRATURES = [_build_quadrature(NUM_NODES_REDUCED), _build_quadrature(NUM_NODES)]  # float32, float64


def affine_exponentials(matrices: Float[Tensor, "*N 2 3"]) -> Float[Tensor, "*N 2 3"]:
    """The exponentials of affine generators of the plane: [A | t], with third row 0, gives [exp(A) | phi(A) t].

    Writing A = s I + B with B traceless, the Cayley-Hamilton theorem gives B^2 = D I with D = -det B, and so
    exp(u A) = e^(u s) (C(u^2 D) I + u S(u^2 D) B), C(D) = cosh sqrt D and S(D) = sinh sqrt D / sqrt D: cosine and sine
    where D < 0, even in sqrt D and smooth through D = 0. phi(A) = int_0^1 exp(u A) du is summed over Gauss-Legendre
    nodes, because (exp(A) - I) A^-1 breaks down wherever det A = 0, which is a cone and not only A = 0.

    Agrees with `torch.linalg.matrix_exp` up to rounding for norms up to 30, and so do the first two derivatives.
    Computes in the precision of its argument, also under autocast.
    """
    function = _AffineExponential if torch.compiler.is_compiling() else _DualAffineExponential
    exponentials: Tensor = function.apply(matrices)[0]
    return exponentials


def disable_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """A context without autocast, whose rounding would be off by whole pixels. Does nothing on the meta device."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def plane_rotations(radians: Float[Tensor, "*N"]) -> Float[Tensor, "*N 2 3"]:
    """Maps of (x, y), y down, that rotate counter-clockwise as displayed: exponentials of the rotation generator."""
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    return torch.stack([cos, sin, zero, -sin, cos, zero], dim=-1).unflatten(-1, (2, 3))


def rotation_exponentials(vectors: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3 3"]:
    """Rotations of 3D space about `vectors` by their lengths in radians: exp of the cross-product matrix W of w.

    Rodrigues' formula: I + sin a / a W + (1 - cos a) / a^2 W^2 with a = |w|. To avoid cancellation at small angles, the
    second factor is computed as half the square of sin(a / 2) / (a / 2).
    """
    W, square, sine, cosine, _ = _rodrigues_terms(vectors)
    return torch.eye(3).to(vectors) + sine * W + cosine * square


def rigid_exponentials(matrices: Float[Tensor, "*N 3 4"]) -> Float[Tensor, "*N 3 4"]:
    """Exponentials of generators of rigid motions: [W | t], W the cross-product matrix of w, gives [exp(W) | V t].

    V = I + (1 - cos a) / a^2 W + (a - sin a) / a^3 W^2 with a = |w|.
    """
    vectors = torch.stack([matrices[..., 2, 1], matrices[..., 0, 2], matrices[..., 1, 0]], dim=-1)
    W, square, sine, cosine, third = _rodrigues_terms(vectors)
    eye = torch.eye(3).to(vectors)
    moved = ((eye + cosine * W + third * square) * matrices[..., None, :, 3]).sum(-1, keepdim=True)
    return torch.cat([eye + sine * W + cosine * square, moved], dim=-1)


RodriguesTerms = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def _rodrigues_terms(vectors: Float[Tensor, "*N 3"]) -> RodriguesTerms:
    """W, W^2, and the three factors: sin a / a, (1 - cos a) / a^2, (a - sin a) / a^3."""
    squared = vectors.square().sum(-1)[..., None, None]
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    W = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    # W^2 = w w^T - |w|^2 I, element by element
    square = vectors[..., :, None] * vectors[..., None, :] - squared * torch.eye(3).to(vectors)
    sine = _sine_ratio(squared)
    return W, square, sine, _sine_ratio(squared / 4).square() / 2, rodrigues_third(squared)


def rodrigues_third(squared: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """The function (a - sin a) / a^3, in terms of a^2."""
    small = squared < 1  # where 1 - sin a / a cancels; eight terms of the series are exact in float64
    terms = torch.full_like(squared, -1 / math.factorial(17))
    for k in range(6, -1, -1):
        terms = terms * torch.where(small, squared, 0) + (-1) ** k / math.factorial(2 * k + 3)
    return torch.where(small, terms, (1 - _sine_ratio(squared)) / torch.where(small, 1, squared))


def _sine_ratio(squared: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """The function sin a / a, in terms of a^2."""
    near = squared < SERIES_THRESHOLD
    terms = torch.full_like(squared, 1 / math.factorial(9))
    for k in (3, 2, 1, 0):
        terms = 1 / math.factorial(2 * k + 1) - terms * torch.where(near, squared, 0)
    root = torch.where(near, 1, squared).sqrt()
    return torch.where(near, terms, root.sin() / root)


class _AffineExponential(torch.autograd.Function):
    """The exponential with its gradient in closed form.

    Autograd would store and traverse every node, and multiply 0 by infinity.

    Let alpha = e^(u s) C(u^2 D) and beta = u e^(u s) S(u^2 D). Their derivatives by s are u alpha and u beta; those by
    D are u beta / 2 and gamma = u^3 e^(u s) S'(u^2 D). For each of alpha, beta and gamma the second output holds the
    value at u = 1, the integral over u, and the integral of u times it. The first derivative is computed from these,
    so that second derivatives are first derivatives of the second output.

    Nodes precede samples in memory, and there are few operations: batches are small, so the time is that of launching.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrices: Tensor) -> tuple[Tensor, Tensor]:
        s, e, b, c, x, y = _split_entries(matrices)
        constants = _get_quadrature_constants(matrices.dtype, matrices.device)
        u = constants.powers[1]
        functions = _even_functions(u * u * (e * e).addcmul(b, c), u * s, constants) * constants.powers
        with disable_autocast(matrices.device):
            moments = constants.sums @ functions
        C, P, _, S, Q, *_ = moments.flatten(0, 1).unbind(0)
        turned, squeezed = S * b, S * e
        moved = P * x + Q * (e * x).addcmul(b, y), P * y + Q * (c * x).addcmul(e, y, value=-1)
        rows = [C + squeezed, turned, moved[0], S * c, C - squeezed, moved[1]]
        return torch.stack(rows, dim=-1).reshape(matrices.shape), moments

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, output[1])
        ctx.save_for_forward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Tensor | None:
        gradient, of_moments = gradients
        matrices, moments = ctx.saved_tensors
        parts = [
            None if gradient is None else _differentiate_maps(gradient, matrices, moments),
            None if of_moments is None else _differentiate_moments(of_moments, matrices),
        ]
        given = [part for part in parts if part is not None]
        return torch.stack(given).sum(0) if len(given) == 2 else next(iter(given), None)


class _DualAffineExponential(_AffineExponential):
    """The same with forward-mode derivatives, which `torch.compile` does not support."""

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> tuple[Tensor, Tensor]:
        matrices, moments = ctx.saved_tensors
        _, e, b, c, x, y = _split_entries(matrices)
        ds, de, db, dc, dx, dy = _split_entries(tangent)
        by_s, by_D, constants = _differentiate_functions(matrices)
        with disable_autocast(matrices.device):
            changes = constants.sums @ (by_s * ds + by_D * (2 * e * de + b * dc + c * db))
        _, P, _, S, Q, *_ = moments.flatten(0, 1).unbind(0)
        dC, dP, _, dS, dQ, *_ = changes.flatten(0, 1).unbind(0)
        squeezed = dS * e + S * de
        moved = (
            dP * x + P * dx + dQ * (e * x + b * y) + Q * (de * x + e * dx + db * y + b * dy),
            dP * y + P * dy + dQ * (c * x - e * y) + Q * (dc * x + c * dx - de * y - e * dy),
        )
        rows = [dC + squeezed, dS * b + S * db, moved[0], dS * c + S * dc, dC - squeezed, moved[1]]
        return torch.stack(rows, dim=-1).reshape(matrices.shape), changes


def _differentiate_maps(
    gradient: Float[Tensor, "*N 2 3"], matrices: Float[Tensor, "*N 2 3"], moments: Float[Tensor, "3 3 M"]
) -> Float[Tensor, "*N 2 3"]:
    """The gradient with respect to the generators, given that of their exponentials."""
    _, e, b, c, x, y = _split_entries(matrices)
    C, P, P_s, S, Q, Q_s, S_D, Q_D, _ = moments.flatten(0, 1).unbind(0)
    half, of_e, of_b, of_c, of_x, of_y = _split_entries(gradient)
    of_C, of_e = 2 * half, 2 * of_e
    of_S = (e * of_e).addcmul(b, of_b).addcmul(c, of_c)
    across, along = x * of_x, y * of_y
    of_P, of_Q = across + along, (e * (across - along)).addcmul(b * y, of_x).addcmul(c * x, of_y)
    by_s = (of_C * C).addcmul(of_S, S).addcmul(of_P, P_s).addcmul(of_Q, Q_s)
    by_D = ((of_C * S).addcmul(of_P, Q_s) / 2).addcmul(of_S, S_D).addcmul(of_Q, Q_D)
    by_e = (S * of_e).addcmul(Q, across - along).addcmul(2 * e, by_D)
    by_b = (S * of_b).addcmul(Q * y, of_x).addcmul(c, by_D)
    by_c = (S * of_c).addcmul(Q * x, of_y).addcmul(b, by_D)
    by_x = (P * of_x).addcmul(Q, (e * of_x).addcmul(c, of_y))
    by_y = (P * of_y).addcmul(Q, (b * of_x).addcmul(e, of_y, value=-1))
    rows = [(by_s + by_e) / 2, by_b, by_x, by_c, (by_s - by_e) / 2, by_y]
    return torch.stack(rows, dim=-1).reshape(matrices.shape)


def _differentiate_moments(
    of_moments: Float[Tensor, "3 3 M"], matrices: Float[Tensor, "*N 2 3"]
) -> Float[Tensor, "*N 2 3"]:
    """The gradient with respect to the generators, given that of the moments."""
    _, e, b, c, x, _ = _split_entries(matrices)
    by_s, by_D, constants = _differentiate_functions(matrices)
    with disable_autocast(matrices.device):
        of_functions = constants.sums.mT @ of_moments
    of_s, of_D = (of_functions * by_s).sum((0, 1)), (of_functions * by_D).sum((0, 1))
    along, still = of_D * e, torch.zeros_like(x)
    rows = [of_s / 2 + along, of_D * c, still, of_D * b, of_s / 2 - along, still]
    return torch.stack(rows, dim=-1).reshape(matrices.shape)


def _differentiate_functions(
    matrices: Float[Tensor, "*N 2 3"],
) -> tuple[Float[Tensor, "3 U M"], Float[Tensor, "3 U M"], "_QuadratureConstants"]:
    """The derivatives of the three functions by s and by D at each node, and the constants."""
    s, e, b, c, _, _ = _split_entries(matrices)
    constants = _get_quadrature_constants(matrices.dtype, matrices.device)
    u = constants.powers[1]
    D = u * u * (e * e).addcmul(b, c)
    values = _even_functions(D, u * s, constants)
    functions = values * constants.powers
    near = D.abs() < SERIES_THRESHOLD
    far = (values[1] / 2 - 3 * values[2]) / (2 * D.masked_fill(near, 1))
    curvatures = u**5 * torch.where(near, _sum_series(D, constants.curvature) * torch.exp(u * s), far)
    return u * functions, torch.stack([u * functions[1] / 2, functions[2], curvatures]), constants


class _QuadratureConstants(NamedTuple):
    """The nodes as powers 1, u and u^3 (the last node is u = 1), three rows of weights, and series coefficients.

    `factors` are those of C, S and S', `curvature` those of S'', for the powers 0 to 4 of D.
    """

    powers: Float[Tensor, "3 U 1"]
    sums: Float[Tensor, "3 U"]
    factors: tuple[Float[Tensor, "3 1 1"], ...]
    curvature: tuple[Float[Tensor, "1 1"], ...]


def _get_quadrature_constants(dtype: torch.dtype, device: torch.device) -> _QuadratureConstants:
    """The constants, cached between calls; a compiled graph holds its own copy."""
    if torch.compiler.is_compiling():
        return _build_quadrature_constants(dtype, device)
    return _keep_quadrature_constants(dtype, device)


@cache
def _keep_quadrature_constants(dtype: torch.dtype, device: torch.device) -> _QuadratureConstants:
    with torch.inference_mode(False):
        return _build_quadrature_constants(dtype, device)


def _build_quadrature_constants(dtype: torch.dtype, device: torch.device) -> _QuadratureConstants:
    constants = (*QUADRATURES[dtype == torch.float64], SERIES, CURVATURE)
    powers, sums, series, last = (torch.tensor(values, dtype=dtype, device=device) for values in constants)
    shaped = series[..., None, None].unbind(0), last[:, None, None].unbind(0)
    return _QuadratureConstants(powers[..., None], sums, *shaped)


def _split_entries(matrices: Float[Tensor, "*N 2 3"]) -> Sequence[Float[Tensor, " M"]]:
    """The numbers s, e, b, c, x and y of matrices [[s + e, b, x], [c, s - e, y]], one row for each number."""
    a, b, x, c, d, y = matrices.reshape(-1, 6).mT.contiguous().unbind(0)
    s = (a + d) / 2
    return s, a - s, b, c, x, y


def _even_functions(
    D: Float[Tensor, "U M"], growth: Float[Tensor, "U M"], constants: _QuadratureConstants
) -> Float[Tensor, "3 U M"]:
    """e^g times C = cosh sqrt D, S = sinh sqrt D / sqrt D and S' = (C - S) / (2 D): cosine and sine where D < 0.

    e^g is multiplied into each exponential, so that nothing overflows unless the result does.
    """
    size, positive = D.abs(), D > 0
    near = size < SERIES_THRESHOLD
    size = size.masked_fill(near, 1)
    root = size.sqrt()
    hyperbolic, circular = torch.where(positive, root, 0), torch.where(positive, 0, root)
    factor = torch.exp(growth + hyperbolic)
    cosine = factor * torch.where(positive, (1 + torch.exp(-2 * hyperbolic)) / 2, circular.cos())
    sine = factor * torch.where(positive, -torch.expm1(-2 * hyperbolic) / 2, circular.sin()) / root
    slope = (cosine - sine) / torch.where(positive, 2 * size, -2 * size)
    series = _sum_series(D, constants.factors) * torch.exp(growth)
    return torch.where(near, series, torch.stack([cosine, sine, slope]))


def _sum_series(D: Float[Tensor, "U M"], factors: Sequence[Tensor]) -> Float[Tensor, "*F U M"]:
    """The power series in D with these coefficients, from the power 0 on."""
    *lower, total = factors
    for factor in reversed(lower):
        total = factor.addcmul(D, total)
    return total
