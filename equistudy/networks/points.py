"""The networks for sets of points."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.networks.choices import PairFeatures

__all__ = ["PointSums", "Rollout"]

WIDTHS = {PairFeatures.PLACES: 6, PairFeatures.DIFFERENCES: 3, PairFeatures.DISTANCES: 1}


class PointSums(nn.Module):
    """Sums over the pairs of each point, then over all points."""

    def __init__(self, seen: PairFeatures, width: int, features: int, num_outputs: int) -> None:
        super().__init__()
        self.seen, self.features = seen, features
        self.pair = _build_network(WIDTHS[seen] + 2 * features, width, width)
        self.point = _build_network(width + features, width, num_outputs)

    def forward(self, points: Float[Tensor, "B P D"]) -> Float[Tensor, "B K"]:
        """One row of outputs per set."""
        places, features = points[..., :3], points[..., 3:]
        P = points.shape[1]
        there = features.any(-1).to(points.dtype) if self.features else points.new_ones(points.shape[:2])
        both = there[:, :, None] * there[:, None, :] * (1 - torch.eye(P, device=points.device))
        own, other = (features[:, :, None].expand(-1, -1, P, -1), features[:, None].expand(-1, P, -1, -1))
        pairs = self.pair(torch.cat([self._build_pair_inputs(places), own, other], dim=-1)) * both[..., None]
        # Divided by the number of points of a typical set, so that sums start near 1.
        sums = pairs.sum(2) / P
        return (self.point(torch.cat([sums, features], dim=-1)) * there[..., None]).sum(1) / P

    def _build_pair_inputs(self, places: Float[Tensor, "B P 3"]) -> Float[Tensor, "B P P S"]:
        first, second = places[:, :, None], places[:, None]
        if self.seen is PairFeatures.PLACES:
            return torch.cat(torch.broadcast_tensors(first, second), dim=-1)
        differences = first - second
        if self.seen is PairFeatures.DIFFERENCES:
            return differences
        # The square root has no derivative at 0, where a point is paired with itself or padding with padding.
        return (differences.square().sum(-1, keepdim=True) + 1e-12).sqrt()


class Rollout(nn.Module):
    """Leapfrog integration of Newton's equations, with pairwise forces predicted by a network."""

    def __init__(self, width: int, step: float, substeps: int, central: bool, num_times: int) -> None:
        super().__init__()
        self.step, self.substeps = step, substeps
        self.central, self.num_times = central, num_times
        seen = 1 if central else 2
        self.force = _build_network(seen + 2, width, 1 if central else 2)

    def forward(self, states: Float[Tensor, "B P D"]) -> Float[Tensor, "B T P S"]:
        """Positions and momenta at each time."""
        q, p, mass, constants = states[..., :2], states[..., 2:4], states[..., 4:5], states[..., 5]
        step = self.step / self.substeps
        pairs = torch.stack(torch.broadcast_tensors(constants[:, :, None], constants[:, None]), dim=-1)
        trajectory = []
        force = self._compute_forces(q, pairs)
        for _ in range(self.num_times):
            for _ in range(self.substeps):
                p = p + step / 2 * force
                q = q + step * p / mass
                force = self._compute_forces(q, pairs)
                p = p + step / 2 * force
            trajectory.append(torch.cat([q, p], dim=-1))
        return torch.stack(trajectory, dim=1)

    def _compute_forces(self, q: Float[Tensor, "B P 2"], constants: Float[Tensor, "B P P 2"]) -> Float[Tensor, "B P 2"]:
        """The total force on each body; the forces of two bodies on each other are equal and opposite."""
        differences = q[:, :, None] - q[:, None]
        if self.central:
            # The logarithm, because a force that grows with the square of the distance would diverge.
            distances = differences.square().sum(-1, keepdim=True).log1p()
            found = self.force(torch.cat([distances, constants], dim=-1)) * differences
        else:
            found = self.force(torch.cat([differences, constants], dim=-1))
        return (found - found.transpose(1, 2)).sum(2) / 2


def _build_network(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs)
    )
