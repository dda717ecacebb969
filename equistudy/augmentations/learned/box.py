"""The learned box: how far a uniform distribution over transformations reaches along each of its generators."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from equistudy.augmentations.learned.generators import Domain, LieGenerator, RotationGenerator
from equistudy.augmentations.learned.space import SpaceRotation, SpaceTranslation
from equistudy.groups.exponential import affine_exponentials, plane_rotations, rigid_exponentials

__all__ = ["Box"]


class Box(nn.Module):
    """Half-extents h of a distribution: coefficients are uniform on [-h, h], one for each generator.

    What is drawn are units u in [-1, 1]; they move by exp(sum_k u_k h_k rate_k A_k). The optimiser sees raw numbers,
    with h = scale * softplus(raw). Units and raw numbers stand in the order of the generators.
    """

    raw: nn.Parameter
    scales: Tensor
    rates: Tensor
    caps: Tensor
    learned: Tensor

    def __init__(self, generators: tuple[LieGenerator, ...]) -> None:
        super().__init__()
        self.generators = generators
        self._members = {d: [i for i, g in enumerate(generators) if g.domain is d] for d in Domain}
        self._turns = [type(g) for g in generators if g.domain is Domain.PLANE] == [RotationGenerator]
        self._rigid = all(
            isinstance(g, (SpaceRotation, SpaceTranslation)) for g in generators if g.domain is Domain.SPACE
        )
        constants = {
            "scales": torch.tensor([generator.scale for generator in generators]),
            "rates": torch.tensor([generator.rate for generator in generators]),
            "caps": torch.tensor([torch.inf if g.cap is None else g.cap for g in generators]),
            "learned": torch.tensor([generator.learned for generator in generators]),
        }
        for domain, members in self._members.items():
            rows = [generators[index].rows[:-1] for index in members]
            constants[domain.value] = torch.tensor(rows).reshape(-1, domain.size - 1, domain.size)
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        self.raw = nn.Parameter(
            self._invert_extents(torch.tensor([float(generator.start) for generator in generators]))
        )

    def _invert_extents(self, extents: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        """The inverse of h = scale * softplus(raw)."""
        shares = (extents / self.scales).double()
        return (shares + torch.log(-torch.expm1(-shares))).to(extents.dtype)

    def acts_on(self, domain: Domain) -> bool:
        """Whether one of the generators is of this domain."""
        return bool(self._members[domain])

    @property
    def learned_extents(self) -> Float[Tensor, " P"]:
        """The half-extents as a function of the raw numbers of those that are learned."""
        return self.scales * softplus(torch.where(self.learned, self.raw, self.raw.detach()))

    @property
    def extents(self) -> Float[Tensor, " P"]:
        """The half-extents in the generators' units, detached."""
        return torch.minimum(self.learned_extents.detach(), self.caps)

    @property
    def widths(self) -> Float[Tensor, " L"]:
        """The full widths of those that are learned, in coefficients of the matrices: rotations in radians."""
        return (2 * self.rates * self.learned_extents)[self.learned]

    @torch.no_grad()
    def project(self) -> None:
        """Takes half-extents that a step carried beyond their caps back to them."""
        beyond = self.learned_extents > self.caps
        self.raw.copy_(torch.where(beyond, self._invert_extents(self.caps), self.raw))

    def compute_maps(
        self, units: Float[Tensor, "N P"], domain: Domain, *, inverse: bool = False
    ) -> Float[Tensor, "N d {domain.size}"]:
        """The affine maps exp(A) that move what lies in the domain, without their last row; or those that undo them.

        Differentiable in the learned half-extents while training, and by the half-extents as they are in evaluation.
        """
        extents = self.learned_extents if self.training else self.extents
        with torch.autocast(units.device.type, enabled=False):
            coefficients = units * extents * (-self.rates if inverse else self.rates)
            if len(self._members[domain]) < len(self.generators):
                coefficients = coefficients[:, self._members[domain]]
            return self._compute_exponentials(coefficients, domain)

    def _compute_exponentials(self, coefficients: Float[Tensor, "N p"], domain: Domain) -> Float[Tensor, "N d e"]:
        """In closed form where there is one: turns, affine maps of the plane, rigid motions of space."""
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
