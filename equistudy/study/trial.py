"""What a trial is: one network trained once, named by the digest of everything that decides its numbers."""

import hashlib
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from equistudy.augmentations.augmentation import Augmentation
from equistudy.datasets.dataset import Dataset
from equistudy.models.model import Model
from equistudy.recipe import Recipe
from equistudy.spec import Spec, canonical, digest, flattened, label
from equistudy.tasks.task import Task

__all__ = ["Stream", "Trial", "derived_seed"]


class Stream(Enum):
    """The independent sources of randomness of a trial."""

    INITIALISATION = "initialisation"
    ORDER = "order"
    AUGMENTATION = "augmentation"
    MEASURING = "measuring"


def derived_seed(replicate: int, stream: Stream, epoch: int | None = None) -> int:
    """The seed of one stream, or of one epoch of it: 63 bits of SHA-256 over the stream's name and the replicate.

    No factor enters, so replicate k sees the same initial random numbers, the same order of the data and the same
    random augmentation in every cell of a design. Differences between cells are then paired differences.
    """
    text = f"{stream.value}/{replicate}" if epoch is None else f"{stream.value}/{replicate}/{epoch}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


@dataclass(frozen=True)
class Trial(Spec):
    """One network trained once. Replicates differ by `seed` alone."""

    model: Model
    dataset: Dataset
    task: Task
    augmentation: Augmentation
    recipe: Recipe
    seed: int

    def __post_init__(self) -> None:
        for name, kind in PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"Trial.{name} must be a {kind.__name__}, got {getattr(self, name)!r}. "
                    f"Check what the trial function of the study passes as {name}."
                )
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be an integer of at least 0, got seed={self.seed!r}.")

    @cached_property
    def id(self) -> str:
        """Digest of the spec with every component's revision and the dataset's fingerprint."""
        parts = [canonical(getattr(self, name)) for name in PARTS]
        return digest("|".join([*parts, str(self.seed), fingerprint(self.dataset), str(self.REVISION)]), "t")

    def columns(self) -> dict[str, Any]:
        """Everything that went into the id, as columns: fields and revisions of all components, and the fingerprint."""
        return {**flattened(self), "fingerprint": fingerprint(self.dataset), "trial": self.id}

    def __str__(self) -> str:
        return ", ".join([*(label(getattr(self, name)) for name in PARTS), f"seed={self.seed}"])


PARTS: dict[str, type[Spec]] = {
    "model": Model,
    "dataset": Dataset,
    "task": Task,
    "augmentation": Augmentation,
    "recipe": Recipe,
}

_fingerprints: dict[Dataset, str] = {}


def fingerprint(dataset: Dataset) -> str:
    """The dataset's fingerprint, read once in each process."""
    if dataset not in _fingerprints:
        _fingerprints[dataset] = dataset.fingerprint()
    return _fingerprints[dataset]
