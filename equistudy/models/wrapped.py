"""A model that wraps another one and delegates everything that it does not change."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from equistudy.datasets.dataset import Dataset
from equistudy.models.model import Model, Module, Preprocessing

__all__ = ["WrappedModel"]

Self = TypeVar("Self", bound="WrappedModel")


@dataclass(frozen=True)
class WrappedModel(Model):
    """Base of the models that change one aspect of another `model`."""

    model: Model

    def check(self, dataset: Dataset) -> None:
        """Checks the wrapped model."""
        self.model.check(dataset)

    def validate(self) -> None:
        """Validates the wrapped model."""
        self.model.validate()

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """The network of the wrapped model."""
        return self.model.build(image_shape, num_outputs)

    def stages(self, network: Module) -> Mapping[str, str]:
        """The stages of the wrapped model."""
        return self.model.stages(network)

    def preprocessing(self, dataset: Dataset) -> Preprocessing:
        """The preprocessing of the wrapped model."""
        return self.model.preprocessing(dataset)

    @property
    def has_own_preprocessing(self) -> bool:
        """Whether the wrapped model has its own preprocessing."""
        return self.model.has_own_preprocessing

    @property
    def untrained(self) -> Model:
        """The same wrapper around the untrained model."""
        return dataclasses.replace(self, model=self.model.untrained)

    def fingerprint(self) -> str | None:
        """The fingerprint of the wrapped model."""
        return self.model.fingerprint()

    def obstacle(self) -> str | None:
        """The obstacle of the wrapped model."""
        return self.model.obstacle()

    def with_absolute_paths(self: Self) -> Self:
        """The same wrapper around the model with absolute paths."""
        return dataclasses.replace(self, model=self.model.with_absolute_paths())
