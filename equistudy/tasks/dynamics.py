"""Dynamics: predict the trajectories of points from their initial state."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Shaped

from equistudy.datasets.dataset import Dataset, Target
from equistudy.spec import Tensor
from equistudy.tasks.task import Task

__all__ = ["Dynamics"]


@dataclass(frozen=True)
class Dynamics(Task):
    """Trajectories: the mean squared error over times, points and coordinates, scored by `mse` and its `log_mse`.

    `log_mse` is the logarithm to base 10, because errors of trajectories differ by orders of magnitude.

    >>> import equistudy as eq
    >>> eq.Dynamics().num_outputs(eq.Springs(times=4))
    4
    """

    target: ClassVar[Target] = Target.TRAJECTORY

    def num_outputs(self, dataset: Dataset) -> int:
        """The number of times at which the trajectory is predicted."""
        return dataset.num_times

    def loss(
        self, outputs: Float[Tensor, "B T P D"], targets: Float[Tensor, "B T P D"], label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """The summed mean squared error of the samples."""
        return (outputs - targets).square().mean(dim=(1, 2, 3)).sum()

    def score(
        self, outputs: Float[Tensor, "B T P D"], targets: Float[Tensor, "B T P D"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The same in float64."""
        return {"mse": (outputs - targets).double().square().mean(dim=(1, 2, 3)).sum()}

    def scores(self, sums: Mapping[str, Shaped[Tensor, "..."]], count: int, dataset: Dataset) -> dict[str, float]:
        """The mean squared error and its logarithm."""
        mse = float(sums["mse"]) / count
        return {"mse": mse, "log_mse": math.log10(mse) if mse > 0 else -math.inf}
