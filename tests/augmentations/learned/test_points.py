"""The test copies' elements: even along each axis, and axes that can be told apart."""

from itertools import combinations, permutations

import numpy as np
import pytest
import torch

from equistudy.augmentations.learned.points import latin_hypercube

SHAPES = [(n, P) for n in (1, 2, 3, 4, 5, 7, 8, 12, 32) for P in (1, 2, 3, 6, 12)]


@pytest.mark.parametrize(("num_points", "dimensions"), SHAPES)
def test_each_axis_takes_each_midpoint_once(num_points, dimensions):
    points = latin_hypercube(num_points, dimensions)
    midpoints = (2 * torch.arange(num_points) + 1) / num_points - 1
    assert points.dtype == torch.float32
    torch.testing.assert_close(points.sort(dim=0).values, midpoints[:, None].expand(-1, dimensions))


@pytest.mark.parametrize(
    ("num_points", "dimensions", "largest"),
    [
        (4, 2, 1e-6),
        (4, 3, 0.41),
        (4, 6, 0.61),  # six lines in the three dimensions that four points leave; the least of all choices, see below
        (5, 3, 0.11),
        (8, 6, 0.2),
        (12, 6, 0.15),
        (32, 6, 0.1),
        (8, 12, 0.5),
    ],
)
def test_axes_are_little_correlated(num_points, dimensions, largest):
    correlations = np.corrcoef(latin_hypercube(num_points, dimensions).numpy().T) - np.eye(dimensions)
    assert np.abs(correlations).max() < largest


def test_four_points_along_six_axes_are_the_best_there_are():
    """Of all sets of six of the twelve orders that differ by more than a reflection."""
    orders = [np.array(each) for each in permutations((-3, -1, 1, 3)) if each < tuple(-value for value in each)]
    overlaps = np.abs(np.array(orders) @ np.array(orders).T) / 20 - np.eye(len(orders))
    least = min(overlaps[np.ix_(chosen, chosen)].max() for chosen in combinations(range(len(orders)), 6))
    correlations = np.corrcoef(latin_hypercube(4, 6).numpy().T) - np.eye(6)
    assert np.abs(correlations).max() == pytest.approx(least)


def test_points_are_the_same_in_every_process():
    torch.testing.assert_close(
        latin_hypercube(4, 3),
        torch.tensor([[-0.75, 0.25, -0.25], [-0.25, -0.75, 0.75], [0.25, 0.75, 0.25], [0.75, -0.25, -0.75]]),
    )
    assert not torch.equal(latin_hypercube(8, 3)[:, 0], latin_hypercube(8, 3)[:, 1])
