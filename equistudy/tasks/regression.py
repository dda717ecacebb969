"""Tasks of numbers: regression, the energies of molecules, and the trajectories of points."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Shaped

from equistudy.datasets.dataset import Dataset, Modality, Target
from equistudy.spec import Tensor
from equistudy.tasks.task import Task

__all__ = ["Dynamics", "Molecules", "Regression"]


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

    def list_scores(self) -> tuple[str, ...]:
        """The root mean square and the mean absolute error."""
        return ("rmse", "mae")

    def scores(self, sums: Mapping[str, Shaped[Tensor, "..."]], count: int, dataset: Dataset) -> dict[str, float]:
        """The root mean square and the mean absolute error, in the dataset's unit."""
        scale = self._find_scale(dataset)
        return {"rmse": scale * math.sqrt(float(sums["rmse"]) / count), "mae": scale * float(sums["mae"]) / count}

    def _find_scale(self, dataset: Dataset) -> float:
        return dataset.target_std if self.scale is None else self.scale


@dataclass(frozen=True)
class Molecules(Regression):
    """The energy of a molecule: absolute error in units of `scale`, scored by `mae` and `rmse` in the dataset's unit.

    Source: Benton et al. 2020, arXiv:2010.11882, train on and report the mean absolute error for QM9.
    """

    def check(self, dataset: Dataset) -> None:
        """ValueError if the inputs are not sets of atoms."""
        if dataset.modality is not Modality.POINTS:
            raise ValueError(
                f"Molecules takes sets of atoms, got {dataset}, whose inputs are images. Use Regression()."
            )
        super().check(dataset)

    def squared_error_scale(self, dataset: Dataset) -> float:
        """Infinite: the loss is an absolute error."""
        return math.inf

    def loss(
        self, outputs: Float[Tensor, "B K"], targets: Float[Tensor, "B K"], label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """The summed absolute error."""
        return (outputs - targets).abs().mean(dim=1).sum()


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

    def list_scores(self) -> tuple[str, ...]:
        """The mean squared error and its logarithm."""
        return ("mse", "log_mse")

    def scores(self, sums: Mapping[str, Shaped[Tensor, "..."]], count: int, dataset: Dataset) -> dict[str, float]:
        """The mean squared error and its logarithm."""
        mse = float(sums["mse"]) / count
        return {"mse": mse, "log_mse": math.log10(mse) if mse > 0 else -math.inf}
