"""Molecules: predict an energy for each set of atoms, by mean absolute error."""

import math
from dataclasses import dataclass

from jaxtyping import Float

from equistudy.datasets.dataset import Dataset, Modality
from equistudy.spec import Tensor
from equistudy.tasks.regression import Regression

__all__ = ["Molecules"]


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
