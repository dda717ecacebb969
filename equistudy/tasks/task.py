"""What is optimised and how an output is scored."""

from dataclasses import dataclass

from jaxtyping import Float, Int64

from equistudy.datasets.dataset import Dataset
from equistudy.spec import Spec, Tensor

__all__ = ["Task"]


@dataclass(frozen=True)
class Task(Spec):
    """Base of the tasks. Losses and scores are sums over the samples, so that workers can add them up."""

    def num_outputs(self, dataset: Dataset) -> int:
        """How many numbers the network gives for each sample."""
        raise NotImplementedError

    def loss(
        self, outputs: Float[Tensor, "B K"], targets: Int64[Tensor, " B"], label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """The sum of the samples' losses."""
        raise NotImplementedError

    def score(self, outputs: Float[Tensor, "B K"], targets: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, ""]]:
        """Sums over the samples of each score by name; 1 for each sample is perfect."""
        raise NotImplementedError
