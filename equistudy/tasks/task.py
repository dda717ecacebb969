"""The base of the tasks: the loss that is optimised, and the scores of the outputs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Shaped

from equistudy.datasets.dataset import Dataset, Target
from equistudy.spec import Spec, Tensor

__all__ = ["Task"]

TASK_EXAMPLES = {
    Target.CLASS: "Classification()",
    Target.NUMBERS: "Regression()",
    Target.LABELS: "Segmentation()",
    Target.TRAJECTORY: "Dynamics()",
}


@dataclass(frozen=True)
class Task(Spec):
    """Base of the tasks. Losses and scores are sums over samples, so that workers can add them up."""

    target: ClassVar[Target]

    def check(self, dataset: Dataset) -> None:
        """ValueError if the dataset has other targets than the task needs."""
        if dataset.target is not self.target:
            raise ValueError(
                f"{type(self).__name__} needs {self.target.value} for each input, got {dataset}, which has "
                f"{dataset.target.value}. Use {TASK_EXAMPLES[dataset.target]}, or another dataset."
            )

    def num_outputs(self, dataset: Dataset) -> int:
        """How many numbers the network gives for each sample, or for each pixel of it."""
        raise NotImplementedError

    def prepare_targets(self, targets: Shaped[Tensor, "B ..."], dataset: Dataset) -> Shaped[Tensor, "B ..."]:
        """The dataset's targets as `loss` and `score` expect them; by default unchanged."""
        return targets

    def loss(
        self, outputs: Float[Tensor, "B ..."], targets: Shaped[Tensor, "B ..."], label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """The sum of the samples' losses."""
        raise NotImplementedError

    def squared_error_scale(self, dataset: Dataset) -> float:
        """The unit of a mean squared error in the unit of the targets; infinite for other losses."""
        return math.inf

    def score(
        self, outputs: Float[Tensor, "B ..."], targets: Shaped[Tensor, "B ..."]
    ) -> dict[str, Shaped[Tensor, "..."]]:
        """The sums over these samples that `scores` needs, by name."""
        raise NotImplementedError

    def list_scores(self) -> tuple[str, ...] | None:
        """The names of the scores, so that a claim about another is refused before training; None if not known."""
        return None

    def scores(self, sums: Mapping[str, Shaped[Tensor, "..."]], count: int, dataset: Dataset) -> dict[str, float]:
        """The scores of `count` samples from the sums over them; by default the means."""
        return {name: float(value) / count for name, value in sums.items()}
