"""Exponentials of affine generators in closed form: batched, differentiable, without branches on the data."""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["affine_exponentials", "rotation_exponentials"]

SERIES = 1e-2  # below this size the even functions are summed: five terms are then exact in float64
# Gauss-Legendre with ten nodes integrates exp(u x) over [0, 1] to 1e-16 at |x| = 4 and to 1e-13 at |x| = 8.
NODES = 10


def affine_exponentials(matrices: Float[Tensor, "*N 2 3"]) -> Float[Tensor, "*N 2 3"]:
    """The exponentials of affine generators of the plane: [A | t], whose third row is 0, gives [exp(A) | phi(A) t].

    With A = s I + B, B without trace, Cayley and Hamilton give B^2 = D I, D = -det B, and so
    exp(u A) = e^(u s) (C(u^2 D) I + u S(u^2 D) B), C(D) = cosh sqrt D and S(D) = sinh sqrt D / sqrt D: cosine and sine
    where D < 0, even and smooth through D = 0. phi(A) = int_0^1 exp(u A) du is summed over Gauss-Legendre nodes:
    (exp(A) - I) A^-1 breaks down wherever det A = 0, which is a cone and not only A = 0.

    Equal to `torch.linalg.matrix_exp` to rounding, gradients as well, for norms up to about 8. Every operation acts
    element by element, so that automatic mixed precision leaves it in float32.
    """
    (a, b, x), (c, d, y) = (row.unbind(-1) for row in matrices.unbind(-2))
    s, e = (a + d) / 2, (a - d) / 2
    D = e * e + b * c
    nodes, weights = (matrices.new_tensor(values) for values in _nodes())
    # the last node is u = 1, the exponential itself; it has weight 0 in the integral
    growth = torch.exp(s[..., None] * nodes)
    cosine, sine = _even(D[..., None] * nodes.square())
    alpha, beta = growth * cosine, growth * nodes * sine
    C, S = alpha[..., -1], beta[..., -1]
    P, Q = (alpha * weights).sum(-1), (beta * weights).sum(-1)
    rows = [
        torch.stack([C + S * e, S * b, P * x + Q * (e * x + b * y)], dim=-1),
        torch.stack([S * c, C - S * e, P * y + Q * (c * x - e * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def rotation_exponentials(vectors: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3 3"]:
    """Rotations of space about `vectors` by their lengths in radians: exp of the cross-product matrix W of w.

    Rodrigues: I + sin a / a W + (1 - cos a) / a^2 W^2 with a = |w|; the second factor is (sin(a/2) / (a/2))^2 / 2,
    which does not cancel at small angles.
    """
    squared = vectors.square().sum(-1)
    _, sine = _even(-squared)
    half = _even(-squared / 4)[1].square() / 2
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    W = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    # W^2 = w w^T - |w|^2 I, element by element
    square = vectors[..., :, None] * vectors[..., None, :] - squared[..., None, None] * torch.eye(3).to(vectors)
    return torch.eye(3).to(vectors) + sine[..., None, None] * W + half[..., None, None] * square


class _Even(torch.autograd.Function):
    """C = cosh sqrt D and S = sinh sqrt D / sqrt D, with dC/dD = S / 2 and dS/dD = (C - S) / (2 D) in closed form.

    The gradient through both branches of `where` would take longer, and meet infinity times zero at 0.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(D: Tensor) -> tuple[Tensor, Tensor]:
        near, positive = D.abs() < SERIES, D > 0
        root = D.abs().sqrt()
        divisor = torch.where(near, 1, root)
        cosine = torch.where(positive, root.cosh(), root.cos())
        sine = torch.where(positive, root.sinh(), root.sin()) / divisor
        return torch.where(near, _series(D, 0), cosine), torch.where(near, _series(D, 1), sine)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, *output)

    @staticmethod
    def backward(ctx: Any, for_cosine: Tensor, for_sine: Tensor) -> Tensor:
        D, C, S = ctx.saved_tensors
        near = D.abs() < SERIES
        slope = torch.where(near, _series(D, 1, derivative=True), (C - S) / torch.where(near, 1, 2 * D))
        return for_cosine * S / 2 + for_sine * slope


def _even(D: Float[Tensor, "*N"]) -> tuple[Float[Tensor, "*N"], Float[Tensor, "*N"]]:
    """C = cosh sqrt D and S = sinh sqrt D / sqrt D: cosine and sine where D < 0, smooth through 0."""
    cosine, sine = _Even.apply(D)
    return cosine, sine


def _series(D: Tensor, first: int, derivative: bool = False) -> Tensor:
    """The sum over k of D^k / (2 k + first)!, or its derivative."""
    terms = [1 / math.factorial(2 * k + first) for k in range(7)]
    if derivative:
        terms = [k * term for k, term in enumerate(terms)][1:]
    total = torch.full_like(D, terms[4])
    for term in reversed(terms[:4]):
        total = total.mul_(D).add_(term)
    return total


@cache
def _nodes() -> tuple[list[float], list[float]]:
    """Gauss-Legendre nodes and weights on [0, 1], and behind them 1 with weight 0."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return [*(nodes + 1) / 2, 1.0], [*weights / 2, 0.0]
