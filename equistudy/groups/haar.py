"""Rotations of 3D space that are uniform under the Haar measure, up to a given largest angle."""

from math import pi

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.groups.exponential import rodrigues_third

__all__ = ["haar_vectors"]

NUM_NEWTON_STEPS = 6  # from the small-angle solution to float64 rounding, for angles up to pi
NUM_DIFFERENTIABLE_STEPS = 2  # Newton steps on the converged root, which give it correct first and second derivatives


def haar_vectors(units: Float[Tensor, "N 3"], largest: Float[Tensor, ""]) -> Float[Tensor, "N 3"]:
    """Rotation vectors (axis times angle in radians) from `units`, which are uniform on [-1, 1]^3.

    The axis is uniform on the sphere: its z is the first unit, its azimuth pi times the second. The third unit u gives
    the angle a through a - sin a = |u| (largest - sin largest), so that its density is proportional to 1 - cos a up to
    `largest`, as under the Haar measure of SO(3). The vector has the sign of u, so that u = 0 is the identity. With
    `largest` = pi every rotation is equally likely. Twice differentiable in `largest`.
    """
    height, azimuth, quantile = units[:, 0], pi * units[:, 1], units[:, 2].abs()
    across = (1 - height.square()).clamp(min=0).sqrt()
    axes = torch.stack([across * azimuth.cos(), across * azimuth.sin(), height], dim=-1)
    return (largest * _find_shares(quantile, largest) * units[:, 2].sign())[:, None] * axes


def _find_shares(quantile: Float[Tensor, " N"], largest: Float[Tensor, ""]) -> Float[Tensor, " N"]:
    """The angle as a fraction r of the largest, h: the root of r^3 T(h^2 r^2) = q T(h^2), T(a^2) = (a - sin a) / a^3.

    Solved for r because a - sin a cancels at small angles.
    """
    shares = quantile.clamp(min=torch.finfo(quantile.dtype).tiny).pow(1 / 3)
    with torch.no_grad():
        for _ in range(NUM_NEWTON_STEPS):
            shares = _take_newton_step(shares, quantile, largest)
    for _ in range(NUM_DIFFERENTIABLE_STEPS):
        shares = _take_newton_step(shares, quantile, largest)
    return shares


def _take_newton_step(
    shares: Float[Tensor, " N"], quantile: Float[Tensor, " N"], largest: Float[Tensor, ""]
) -> Float[Tensor, " N"]:
    square = largest.square()
    residual = shares**3 * rodrigues_third(square * shares.square()) - quantile * rodrigues_third(square)
    half = torch.sinc(largest * shares / (2 * pi))  # sin(a / 2) / (a / 2)
    slope = (shares * half).square() / 2  # (1 - cos a) / h^2, the derivative by r
    return shares - residual / slope.clamp(min=torch.finfo(slope.dtype).tiny)
