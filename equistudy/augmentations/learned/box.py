"""The learned box: how far a uniform distribution over transformations reaches, and points that cover it."""

from collections.abc import Callable
from functools import lru_cache
from itertools import permutations
from math import pi
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn
from torch.nn.functional import softplus

from equistudy.augmentations.learned.generators import Domain, LieGenerator, RotationGenerator
from equistudy.augmentations.learned.space import HaarRotation, SpaceRotation, SpaceTranslation
from equistudy.datasets.draws import draw_uniforms
from equistudy.groups.exponential import (
    affine_exponentials,
    disable_autocast,
    plane_rotations,
    rigid_exponentials,
    rodrigues_third,
)

__all__ = ["Box", "haar_vectors", "latin_hypercube"]


class Box(nn.Module):
    """Half-extents h of a distribution: coefficients are uniform on [-h, h], one for each generator.

    An element is a vector of units u in [-1, 1] and acts as exp(sum_k u_k h_k rate_k A_k). The optimiser sees raw
    parameters, with h = scale * softplus(raw). Units and raw parameters are in the order of the generators; a generator
    with several units has them side by side.

    The box stays in float32 when the network is cast to half precision: 16 bits resolve neither a step of the optimiser
    nor the positions of pixels.
    """

    raw: nn.Parameter
    scales: Tensor
    rates: Tensor
    caps: Tensor
    raw_caps: Tensor
    learned: Tensor

    def __init__(self, generators: tuple[LieGenerator, ...]) -> None:
        super().__init__()
        self.generators = generators
        owners = [index for index, generator in enumerate(generators) for _ in range(generator.num_units)]
        self.num_units = len(owners)
        self._owners = owners if self.num_units > len(generators) else None
        self._members = {d: [u for u, i in enumerate(owners) if generators[i].domain is d] for d in Domain}
        self._haar = [owners.index(i) for i, g in enumerate(generators) if isinstance(g, HaarRotation)]
        self._turns = [type(g) for g in generators if g.domain is Domain.PLANE] == [RotationGenerator]
        rigid = (SpaceRotation, SpaceTranslation, HaarRotation)
        self._rigid = all(isinstance(g, rigid) for g in generators if g.domain is Domain.SPACE)
        self.raw = nn.Parameter(torch.empty(len(generators)))
        for name, value in self._build_constants().items():
            self.register_buffer(name, value, persistent=False)
        self.reset_parameters()

    def _build_constants(self) -> dict[str, Tensor]:
        scales = torch.tensor([generator.scale for generator in self.generators])
        caps = torch.tensor([torch.inf if g.cap is None else g.cap for g in self.generators])
        constants = {
            "scales": scales,
            "rates": torch.tensor([generator.rate for generator in self.generators]),
            "caps": caps,
            "raw_caps": _invert_extents(caps, scales),
            "learned": torch.tensor([generator.learned for generator in self.generators]),
        }
        for domain in Domain:
            rows = [matrix[:-1] for g in self.generators if g.domain is domain for matrix in g.matrices]
            constants[domain.value] = torch.tensor(rows).reshape(-1, domain.size - 1, domain.size)
        return constants

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Resets half-extents to their starts and fills in the constants, as is needed after `to_empty`."""
        for name, value in self._build_constants().items():
            getattr(self, name).copy_(value)
        starts, scales = torch.tensor([[float(g.start), g.scale] for g in self.generators]).unbind(1)
        self.raw.copy_(_invert_extents(starts, scales))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        def apply_in_float32(tensor: Tensor) -> Tensor:
            found = fn(tensor)
            return tensor.to(found.device) if found.is_floating_point() and found.itemsize < 4 else found

        return super()._apply(apply_in_float32, recurse)

    def acts_on(self, domain: Domain) -> bool:
        """Whether one of the generators is of this domain."""
        return bool(self._members[domain])

    @property
    def learned_extents(self) -> Float[Tensor, " P"]:
        """The half-extents, differentiable in the raw parameters of those that are learned."""
        return self.scales * softplus(torch.where(self.learned, self.raw, self.raw.detach()))

    @property
    def extents(self) -> Float[Tensor, " P"]:
        """The half-extents in the generators' units, detached."""
        return torch.minimum(self.learned_extents.detach(), self.caps)

    @property
    def widths(self) -> Float[Tensor, " L"]:
        """The full widths of the learned generators in coefficients of their matrices: rotations in radians."""
        return (2 * self.rates * self.learned_extents)[self.learned]

    @torch.no_grad()
    def project(self) -> None:
        """Moves half-extents that a step carried beyond their caps back to them."""
        self.raw.copy_(torch.minimum(self.raw, self.raw_caps))

    def compute_maps(
        self, units: Float[Tensor, "N U"], domain: Domain, *, inverse: bool = False
    ) -> Float[Tensor, "N d {domain.size}"]:
        """The affine maps exp(A) of the domain, without their last row, or their inverses.

        Differentiable in the learned half-extents in training; in evaluation the half-extents are constants.
        """
        extents = self.learned_extents if self.training else self.extents
        with disable_autocast(units.device):
            coefficients = self._compute_coefficients(units.to(extents.dtype), extents, inverse)
            if len(self._members[domain]) < self.num_units:
                coefficients = coefficients[:, self._members[domain]]
            return self._compute_exponentials(coefficients, domain)

    def _compute_coefficients(
        self, units: Float[Tensor, "N U"], extents: Float[Tensor, " P"], inverse: bool
    ) -> Float[Tensor, "N U"]:
        """The coefficients of the matrices: units times half-extents, or the rotation vectors of a `HaarRotation`."""
        rates = -self.rates if inverse else self.rates
        if self._owners is None:
            return units * extents * rates
        columns = list((units * extents[self._owners] * rates[self._owners]).unbind(1))
        for first in self._haar:
            owner = self._owners[first]
            vectors = haar_vectors(units[:, first : first + 3], extents[owner] * self.rates[owner])
            columns[first : first + 3] = (-vectors if inverse else vectors).unbind(1)
        return torch.stack(columns, dim=1)

    def _compute_exponentials(self, coefficients: Float[Tensor, "N p"], domain: Domain) -> Float[Tensor, "N d e"]:
        """In closed form where there is one: rotations and affine maps of the plane, rigid motions of space."""
        matrices: Tensor = getattr(self, domain.value)
        if domain is Domain.PLANE and self._turns:
            return plane_rotations(coefficients.squeeze(1))
        exponents = (coefficients[:, :, None, None] * matrices).sum(1)
        if domain is Domain.PLANE:
            return affine_exponentials(exponents)
        if domain is Domain.SPACE and self._rigid:
            return rigid_exponentials(exponents)
        last = exponents.new_zeros(len(exponents), 1, domain.size)
        return torch.linalg.matrix_exp(torch.cat([exponents, last], dim=1))[:, :-1]


def _invert_extents(extents: Float[Tensor, " P"], scales: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """The raw parameters of these half-extents: the inverse of h = scale * softplus(raw)."""
    shares = (extents / scales).double()
    return (shares + torch.log(-torch.expm1(-shares))).to(extents.dtype)


MAX_LISTED = 5  # points of which all orders are tried
NUM_CANDIDATES = 128  # orders that are tried along each axis otherwise
NUM_RESTARTS, NUM_SWEEPS = 16, 4
POWER = 8  # of the correlations: the largest decides


def latin_hypercube(num_points: int, dimensions: int) -> Float[Tensor, "N P"]:
    """Points of [-1, 1]^P that use each of the midpoints of n equal intervals once along each axis.

    A search orders them so that the axes are as uncorrelated as possible: with correlated axes the average would cover
    combinations of generators instead of each generator separately. The mean is 0, so a single point is 0. Fewer than
    P + 1 points cannot have uncorrelated axes, and two points always lie on a diagonal.
    """
    return torch.tensor(_search_points(num_points, dimensions), dtype=torch.float32)


@lru_cache(maxsize=64)
def _search_points(num_points: int, dimensions: int) -> Float64[np.ndarray, "N P"]:
    """The best of several descents, in which each axis in turn takes the order least correlated with the others."""
    midpoints = (2 * np.arange(num_points) + 1) / num_points - 1
    if num_points < 3 or dimensions == 1:
        return np.repeat(midpoints[:, None], dimensions, axis=1)
    best, least = np.empty(0), np.inf
    for restart in range(NUM_RESTARTS):
        candidates = midpoints[_list_orders(num_points, restart)] / np.linalg.norm(midpoints)
        axes = np.stack([midpoints / np.linalg.norm(midpoints), *np.resize(candidates, (dimensions - 1, num_points))])
        for axis in [*range(1, dimensions)] * NUM_SWEEPS:
            costs = ((candidates @ np.delete(axes, axis, axis=0).T) ** POWER).sum(1)
            axes[axis] = candidates[np.argmin(costs.round(12))]
        cost = (np.triu(axes @ axes.T, 1) ** POWER).sum().round(12)
        if cost < least:
            best, least = axes * np.linalg.norm(midpoints), cost
    return best.T.round(12)


def _list_orders(num_points: int, restart: int) -> np.ndarray:
    """Orders of the points, the same on every machine: all of a few, shuffled; random ones of many."""
    if num_points <= MAX_LISTED:
        every = np.array(list(permutations(range(num_points))))
        return every[np.argsort(draw_uniforms(restart, len(every)), kind="stable")]
    uniforms = draw_uniforms(restart, NUM_CANDIDATES * num_points)
    return np.argsort(uniforms.reshape(NUM_CANDIDATES, num_points), axis=1, kind="stable")


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
