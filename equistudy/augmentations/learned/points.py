"""The elements over which a trained network averages: a few points that cover a box evenly."""

from functools import lru_cache
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from equistudy.datasets.draws import draw_uniforms

__all__ = ["latin_hypercube"]

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
