"""Classification of images, and of their pixels: cross-entropy, scored by accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Int64, Shaped, UInt8

from equistudy.datasets.dataset import Dataset, Target
from equistudy.spec import Tensor
from equistudy.tasks.task import Task

__all__ = ["Classification", "Segmentation"]


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

    def list_scores(self) -> tuple[str, ...]:
        """The accuracy."""
        return ("accuracy",)

    def score(self, outputs: Float[Tensor, "B K"], targets: Int64[Tensor, " B"]) -> dict[str, Float[Tensor, ""]]:
        """`accuracy`: the number of samples whose largest logit is at the target."""
        return {"accuracy": (outputs.argmax(dim=1) == targets).sum().to(outputs.dtype)}


VOID_LABEL = 255  # in prepared labels, whatever the dataset uses


@dataclass(frozen=True)
class Segmentation(Task):
    """A class for each pixel: cross-entropy, scored by `pixel_accuracy` and `mean_iou`; void pixels are ignored.

    The loss of an image is the mean over its labelled pixels, 0 if it has none. Scores are over all labelled pixels of
    the split: the fraction classified correctly, and the mean over classes of intersection over union, without classes
    that neither occur in the labels nor are predicted.

    >>> import equistudy as eq
    >>> eq.Segmentation().num_outputs(eq.Shapes())
    5
    """

    target: ClassVar[Target] = Target.LABELS

    def num_outputs(self, dataset: Dataset) -> int:
        """One logit for each class at each pixel."""
        return dataset.num_classes

    def prepare_targets(self, targets: UInt8[Tensor, "B H W"], dataset: Dataset) -> UInt8[Tensor, "B H W"]:
        """The labels, with 255 for void."""
        if dataset.void in (None, VOID_LABEL):
            return targets
        return targets.masked_fill(targets == dataset.void, VOID_LABEL)

    def loss(
        self, outputs: Float[Tensor, "B K H W"], targets: UInt8[Tensor, "B H W"], label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """The summed loss of the images, in nats."""
        from torch.nn.functional import cross_entropy

        losses = cross_entropy(outputs, targets.long(), ignore_index=VOID_LABEL, reduction="none")
        return (losses.sum((1, 2)) / (targets != VOID_LABEL).sum((1, 2)).clamp(min=1)).sum()

    def score(
        self, outputs: Float[Tensor, "B K H W"], targets: UInt8[Tensor, "B H W"]
    ) -> dict[str, Int64[Tensor, "K K"]]:
        """The confusion matrix: pixels of each class (rows) by predicted class (columns)."""
        K = outputs.shape[1]
        valid = targets != VOID_LABEL
        pairs = targets[valid].long() * K + outputs.argmax(1)[valid]
        return {"confusion": pairs.bincount(minlength=K * K).reshape(K, K)}

    def list_scores(self) -> tuple[str, ...]:
        """Pixel accuracy and mean intersection over union."""
        return ("pixel_accuracy", "mean_iou")

    def scores(self, sums: Mapping[str, Shaped[Tensor, "..."]], count: int, dataset: Dataset) -> dict[str, float]:
        """Pixel accuracy and mean intersection over union."""
        confusion = sums["confusion"].double()
        right = confusion.diagonal()
        union = confusion.sum(0) + confusion.sum(1) - right
        seen = union > 0
        return {
            "pixel_accuracy": float(right.sum() / confusion.sum()),
            "mean_iou": float((right[seen] / union[seen]).mean()),
        }
