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
    C, S, P, Q = _integrals(s, e * e + b * c)
    rows = [
        torch.stack([C + S * e, S * b, P * x + Q * (e * x + b * y)], dim=-1),
        torch.stack([S * c, C - S * e, P * y + Q * (c * x - e * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def rotation_exponentials(vectors: Float[Tensor, "*N 3"]) -> Float[Tensor, "*N 3 3"]:
    """Rotations of space about `vectors` by their lengths in radians: exp of the cross-product matrix W of w.

    Rodrigues: I + sin a / a W + (1 - cos a) / a^2 W^2 with a = |w|. The second factor cancels at small angles, so it is
    taken as the integral of u S(- u^2 a^2) over [0, 1].
    """
    squared = vectors.square().sum(-1)
    _, sine, _, cosine = _integrals(torch.zeros_like(squared), -squared)
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    W = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    # W^2 = w w^T - |w|^2 I, element by element
    square = vectors[..., :, None] * vectors[..., None, :] - squared[..., None, None] * torch.eye(3).to(vectors)
    return torch.eye(3).to(vectors) + sine[..., None, None] * W + cosine[..., None, None] * square


Four = tuple[Float[Tensor, "*N"], Float[Tensor, "*N"], Float[Tensor, "*N"], Float[Tensor, "*N"]]


def _integrals(s: Float[Tensor, "*N"], D: Float[Tensor, "*N"]) -> Four:
    """e^s C(D), e^s S(D), and the integrals over u in [0, 1] of e^(u s) C(u^2 D) and of u e^(u s) S(u^2 D)."""
    C, S, P, Q, _ = _Integrals.apply(s, D)
    return C, S, P, Q


class _Integrals(torch.autograd.Function):
    """With the gradients in closed form: autograd's would keep and pass back every node, and meet 0 times infinity.

    With alpha = e^(u s) C(u^2 D) and beta = u e^(u s) S(u^2 D) the derivatives by s are u alpha and u beta, those by D
    u beta / 2 and u^3 e^(u s) S'(u^2 D). There are no second derivatives: asking for them is an error.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(s: Tensor, D: Tensor) -> tuple[Tensor, ...]:
        # the last node is u = 1, with weight 0 in the integrals
        nodes, weights = (s.new_tensor(values) for values in _nodes())
        growth = torch.exp(s[..., None] * nodes)
        cosine, sine, slope = _even(D[..., None] * nodes.square())
        alpha, beta, gamma = growth * cosine, growth * nodes * sine, growth * nodes**3 * slope
        sums = [(alpha * weights).sum(-1), (beta * weights).sum(-1)]
        moments = [gamma[..., -1], *((each * nodes * weights).sum(-1) for each in (alpha, beta))]
        slopes = torch.stack([*moments, (gamma * weights).sum(-1)])
        return alpha[..., -1].clone(), beta[..., -1].clone(), *sums, slopes

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        C, S, _, _, slopes = output
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(C, S, slopes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, Tensor]:
        C, S, slopes = ctx.saved_tensors
        S_D, P_s, Q_s, Q_D = slopes
        *given, of_slopes = gradients
        if of_slopes is not None:
            raise RuntimeError(
                "The closed-form exponential has first derivatives alone, got a request for second ones."
            )
        of_C, of_S, of_P, of_Q = (0 if gradient is None else gradient for gradient in given)
        by_s = of_C * C + of_S * S + of_P * P_s + of_Q * Q_s
        return by_s, (of_C * S + of_P * Q_s) / 2 + of_S * S_D + of_Q * Q_D


def _even(D: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """C = cosh sqrt D, S = sinh sqrt D / sqrt D and S' = (C - S) / (2 D): cosine and sine where D < 0."""
    near, positive = D.abs() < SERIES, D > 0
    root = D.abs().sqrt()
    cosine = torch.where(near, _series(D, 0), torch.where(positive, root.cosh(), root.cos()))
    sine = torch.where(positive, root.sinh(), root.sin()) / torch.where(near, 1, root)
    sine = torch.where(near, _series(D, 1), sine)
    slope = (cosine - sine) / torch.where(near, 1, 2 * D)
    return cosine, sine, torch.where(near, _series(D, 1, derivative=True), slope)


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
