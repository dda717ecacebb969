"""Classification: cross-entropy, scored by accuracy."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int64

from equistudy.datasets.dataset import Dataset, Target
from equistudy.spec import Tensor
from equistudy.tasks.task import Task

__all__ = ["Classification"]


@dataclass(frozen=True)
class Classification(Task):
    """One class for each image: cross-entropy with optional label smoothing, scored by top-1 accuracy.

    >>> import equistudy as eq
    >>> eq.Classification().num_outputs(eq.Digits())
    10
    """

    target: ClassVar[Target] = Target.CLASS

    def num_outputs(self, dataset: Dataset) -> int:
        """One logit for each class."""
        return dataset.num_classes

    def loss(
        self,
        outputs: Float[Tensor, "B K"],
        targets: Int64[Tensor, " B"] | Float[Tensor, "B K"],
        label_smoothing: float = 0.0,
    ) -> Float[Tensor, ""]:
        """The summed cross-entropy in nats, for class indices or probabilities."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, targets, label_smoothing=label_smoothing, reduction="sum")

    def score(self, outputs: Float[Tensor, "B K"], targets: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, ""]]:
        """`accuracy`: the number of samples whose largest logit is at the target."""
        return {"accuracy": (outputs.argmax(dim=1) == targets).sum().to(outputs.dtype)}
