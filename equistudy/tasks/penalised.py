"""A task with penalties on features and outputs that are not equivariant."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from jaxtyping import Float, Shaped

from equistudy.datasets.dataset import Dataset, Modality, Target
from equistudy.groups.group import Group
from equistudy.spec import Spec, Tensor
from equistudy.tasks.task import Task

__all__ = ["Depth", "Dissimilarity", "Penalised", "Penalty"]


class Depth(Enum):
    """Where a penalty applies: the first, middle or last stage that is a map, or the logits."""

    EARLY = "early"
    MIDDLE = "middle"
    LATE = "late"
    LOGITS = "logits"


class Dissimilarity(Enum):
    """How much a = f(g x) and b = g f(x) differ, averaged over channels; 0 is perfect.

    NORMALISED_ERROR: sum (a - b)^2 / sum b^2, with b centred over images and cells. CORRELATION: 1 - sum a b /
    sqrt(sum a^2 sum b^2), insensitive to gain, with values centred within each image for maps and over the images for
    logits. Constant channels are left out.
    """

    NORMALISED_ERROR = "normalised error"
    CORRELATION = "1 - correlation"


@dataclass(frozen=True)
class Penalty(Spec):
    """`weight` times the dissimilarity of f(g x) and g f(x), added to the mean loss in training.

    In each step all images are moved by one element drawn from the group's `elements()`, with black at the border. For
    logits, on which the group acts trivially, it penalises a lack of invariance; for maps a lack of equivariance, on
    the cells that both maps show, eroded by `erosion` cells at each border. x and g x pass through the network in one
    batch, so that batch norms see both. Statistics are over the images that a worker passes through the network.

    Source: the objective study of Bruintjes, Motyka and van Gemert 2023, arXiv:2304.02628.

    >>> import equistudy as eq
    >>> eq.Penalty(eq.Translation(max_pixels=2), weight=1.0, depth=eq.Depth.LOGITS).weight
    1.0
    """

    group: Group
    weight: float = 0.1
    depth: Depth = Depth.LOGITS
    dissimilarity: Dissimilarity = Dissimilarity.CORRELATION
    erosion: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight must be finite and not negative, got weight={self.weight}. Use 0 for no penalty.")
        if self.erosion < 0:
            raise ValueError(f"erosion must not be negative, got erosion={self.erosion}. Use 1.")


@dataclass(frozen=True)
class Penalised(Task):
    """Adds `penalties` to the loss of `task` in training; scores are those of the task.

    >>> import equistudy as eq
    >>> penalty = eq.Penalty(eq.Translation(max_pixels=2), weight=1.0)
    >>> eq.Penalised(eq.Classification(), (penalty,)).num_outputs(eq.Digits())
    10
    """

    task: Task
    penalties: tuple[Penalty, ...]

    def __post_init__(self) -> None:
        if not self.penalties:
            raise ValueError(
                f"Penalised needs at least one penalty, got penalties=(). Use {self.task} itself for none."
            )

    @property
    def target(self) -> Target:  # type: ignore[override]  # that of the task, which knows it as a class
        """That of the task."""
        return self.task.target

    def check(self, dataset: Dataset) -> None:
        """ValueError unless the task and the groups can act on the dataset."""
        self.task.check(dataset)
        if dataset.modality is not Modality.IMAGES:
            raise ValueError(
                f"Penalties move images, got {dataset}, whose inputs are {dataset.modality.value}. Use {self.task}."
            )

    def num_outputs(self, dataset: Dataset) -> int:
        """As the task."""
        return self.task.num_outputs(dataset)

    def prepare_targets(self, targets: Shaped[Tensor, "B ..."], dataset: Dataset) -> Shaped[Tensor, "B ..."]:
        """As the task."""
        return self.task.prepare_targets(targets, dataset)

    def loss(
        self, outputs: Float[Tensor, "B ..."], targets: Shaped[Tensor, "B ..."], label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """The loss of the task; the trainer, which sees the features, adds the penalties."""
        return self.task.loss(outputs, targets, label_smoothing)

    def score(self, outputs: Float[Tensor, "B ..."], targets: Shaped[Tensor, "B ..."]) -> dict[str, Any]:
        """As the task."""
        return self.task.score(outputs, targets)

    def list_scores(self) -> tuple[str, ...] | None:
        """As the task."""
        return self.task.list_scores()

    def scores(self, sums: Mapping[str, Any], count: int, dataset: Dataset) -> dict[str, float]:
        """As the task."""
        return self.task.scores(sums, count, dataset)
