"""Generated point clouds, with a target that depends only on the distances between points."""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from equistudy.datasets.dataset import Dataset, Examples, Modality, Split, Target
from equistudy.datasets.draws import draw_normals

__all__ = ["PointClouds"]


@dataclass(frozen=True)
class PointClouds(Dataset):
    """Sets of `points` normally distributed points in 3D; the target is the mean pairwise distance.

    Rigid motions change no distance: of the twelve generators of affine maps of 3D space, the three rotations and the
    three translations leave the target invariant; shears, squeezes and scaling do not.

    >>> import equistudy as eq
    >>> eq.PointClouds(points=5).input_shape
    (5, 3)
    """

    points: int = 5
    train_size: int = 2000
    test_size: int = 500

    modality: ClassVar[Modality] = Modality.POINTS
    target: ClassVar[Target] = Target.NUMBERS
    space: ClassVar[int] = 3
    vectors: ClassVar[int] = 1
    target_unit: ClassVar[str] = "length"

    def __post_init__(self) -> None:
        if self.points < 2 or min(self.train_size, self.test_size) < 2:
            raise ValueError(
                f"PointClouds needs at least 2 points per set and 2 sets per split, got points={self.points}, "
                f"train_size={self.train_size}, test_size={self.test_size}. Use at least 2."
            )

    @property
    def input_shape(self) -> tuple[int, int]:
        """(points, 3)."""
        return self.points, 3

    @property
    def target_mean(self) -> float:  # type: ignore[override]
        """The mean target over the training split."""
        return float(_mean_distances(self._draw_split(Split.TRAIN)).mean())

    @property
    def target_std(self) -> float:  # type: ignore[override]
        """The standard deviation of the target over the training split."""
        return float(_mean_distances(self._draw_split(Split.TRAIN)).std())

    def fingerprint(self) -> str:
        """A constant: the points are determined by the fields and this code."""
        return "generated"

    def load(self, split: Split) -> Examples:
        """The points and their mean distances. A smaller set is the start of a larger one."""
        import torch

        points = self._draw_split(split)
        return Examples(torch.from_numpy(points).float(), torch.from_numpy(_mean_distances(points)[:, None]).float())

    def _draw_split(self, split: Split) -> Float64[np.ndarray, "N P 3"]:
        count = self.train_size if split is Split.TRAIN else self.test_size
        return _draw_points(int(split is Split.TRAIN), count, self.points)


@lru_cache(maxsize=8)
def _draw_points(seed: int, count: int, points: int) -> Float64[np.ndarray, "N P 3"]:
    return draw_normals(seed, count, points, 3)


def _mean_distances(points: Float64[np.ndarray, "N P 3"]) -> Float64[np.ndarray, " N"]:
    """The mean distance over all pairs."""
    first, second = np.triu_indices(points.shape[1], 1)
    return np.linalg.norm(points[:, first] - points[:, second], axis=-1).mean(1)
