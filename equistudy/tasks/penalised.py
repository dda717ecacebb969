"""A task with penalties for answers and features that do not move with the input as a group says."""

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
    """Where a penalty looks: the first, the middle or the last stage that is a map, or the logits."""

    EARLY = "early"
    MIDDLE = "middle"
    LATE = "late"
    LOGITS = "logits"


class Dissimilarity(Enum):
    """How far a = f(g x) and b = g f(x) differ, the mean over the channels; 0 is perfect.

    NORMALISED_ERROR: the sum of (a - b)^2 over that of b^2, b less its mean over images and cells. CORRELATION: 1 -
    sum a b / root(sum a^2 sum b^2), blind to gain, with values less the mean of their image for maps and less that over
    the images for logits. Channels that do not vary are left out.
    """

    NORMALISED_ERROR = "normalised error"
    CORRELATION = "1 - correlation"


@dataclass(frozen=True)
class Penalty(Spec):
    """`weight` times the dissimilarity of f(g x) and g f(x), added to the mean loss in training.

    In each step all images are moved by one element, which is drawn from the group's `elements()`; black enters. At
    logits, on which the group acts trivially, it asks for invariance, at maps for equivariance, on the cells that both
    maps show less `erosion` cells at each border. x and g x pass through the network together, so that batch norms see
    both. Statistics are those of the images that a worker passes through the network at once.

    Source: the objective study of Bruintjes, Motyka and van Gemert 2023, arXiv:2304.02628.
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
            raise ValueError(f"erosion is a number of cells of at least 0, got erosion={self.erosion}.")


@dataclass(frozen=True)
class Penalised(Task):
    """The `task` with `penalties` in training; loss and scores are those of the task."""

    task: Task
    penalties: tuple[Penalty, ...]

    def __post_init__(self) -> None:
        if not self.penalties:
            raise ValueError(f"Penalised needs a penalty, got penalties=(). Use {self.task} itself for none.")

    @property
    def target(self) -> Target:  # type: ignore[override]  # that of the task, which knows it as a class
        """That of the task."""
        return self.task.target

    def check(self, dataset: Dataset) -> None:
        """ValueError unless the task and the groups can act on the dataset."""
        self.task.check(dataset)
        if dataset.modality is not Modality.IMAGES:
            raise ValueError(f"Penalties move images, got {dataset}, whose inputs are {dataset.modality.value}.")

    def num_outputs(self, dataset: Dataset) -> int:
        """As the task."""
        return self.task.num_outputs(dataset)

    def prepare_targets(self, targets: Shaped[Tensor, "B ..."], dataset: Dataset) -> Shaped[Tensor, "B ..."]:
        """As the task."""
        return self.task.prepare_targets(targets, dataset)

    def loss(
        self, outputs: Float[Tensor, "B ..."], targets: Shaped[Tensor, "B ..."], label_smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """The loss of the task: the penalties are added by the trainer, who sees the features."""
        return self.task.loss(outputs, targets, label_smoothing)

    def score(self, outputs: Float[Tensor, "B ..."], targets: Shaped[Tensor, "B ..."]) -> dict[str, Any]:
        """As the task."""
        return self.task.score(outputs, targets)

    def scores(self, sums: Mapping[str, Any], count: int, dataset: Dataset) -> dict[str, float]:
        """As the task."""
        return self.task.scores(sums, count, dataset)
