"""Regression: predict numbers, such as an energy or the angle of an image."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Shaped

from equistudy.datasets.dataset import Dataset, Target
from equistudy.spec import Tensor
from equistudy.tasks.task import Task

__all__ = ["Regression"]


@dataclass(frozen=True)
class Regression(Task):
    """Numbers: squared error, scored by `rmse` and `mae` in the dataset's own unit.

    The network predicts (y - mean) / `scale`, with the mean of the dataset's targets, and the loss is the squared error
    of that. `scale` is in the dataset's unit; None means the standard deviation of its targets. It sets the weight of a
    regulariser relative to the error. For angles in degrees, 1 gives square degrees and 180 / pi square radians.

    >>> import equistudy as eq
    >>> eq.Regression(scale=1.0).num_outputs(eq.PointClouds())
    1
    """

    target: ClassVar[Target] = Target.NUMBERS

    scale: float | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(
                f"scale must be positive and finite, in the target's unit, got scale={self.scale}. "
                "Use 1, or None for the standard deviation of the targets."
            )

    def num_outputs(self, dataset: Dataset) -> int:
        """One number."""
        return 1

    def prepare_targets(self, targets: Float[Tensor, "B K"], dataset: Dataset) -> Float[Tensor, "B K"]:
        """The targets less their mean, in units of the scale."""
        return (targets - dataset.target_mean) / self._find_scale(dataset)

    def loss(
        self, outputs: Float[Tensor, "B K"], targets: Float[Tensor, "B K"], label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """The summed squared errors of the samples, each the mean over its numbers."""
        return (outputs - targets).square().mean(dim=1).sum()

    def squared_error_scale(self, dataset: Dataset) -> float:
        """`scale`, or the standard deviation of the targets."""
        return self._find_scale(dataset)

    def score(self, outputs: Float[Tensor, "B K"], targets: Float[Tensor, "B K"]) -> dict[str, Float[Tensor, ""]]:
        """The sums of squared and absolute errors."""
        errors = (outputs - targets).double()
        return {"rmse": errors.square().mean(dim=1).sum(), "mae": errors.abs().mean(dim=1).sum()}

    def scores(self, sums: Mapping[str, Shaped[Tensor, "..."]], count: int, dataset: Dataset) -> dict[str, float]:
        """The root mean square and the mean absolute error, in the dataset's unit."""
        scale = self._find_scale(dataset)
        return {"rmse": scale * math.sqrt(float(sums["rmse"]) / count), "mae": scale * float(sums["mae"]) / count}

    def _find_scale(self, dataset: Dataset) -> float:
        return dataset.target_std if self.scale is None else self.scale
