"""A model around another one: what it does not change is that of the other."""

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
    """Base of the models that change one thing of another `model`."""

    model: Model

    def check(self, dataset: Dataset) -> None:
        """As the model."""
        self.model.check(dataset)

    def validate(self) -> None:
        """As the model."""
        self.model.validate()

    def build(self, image_shape: tuple[int, int, int], num_outputs: int) -> Module:
        """The model's network."""
        return self.model.build(image_shape, num_outputs)

    def stages(self, network: Module) -> Mapping[str, str]:
        """Those of the model."""
        return self.model.stages(network)

    def preprocessing(self, dataset: Dataset) -> Preprocessing:
        """That of the model."""
        return self.model.preprocessing(dataset)

    @property
    def has_own_preprocessing(self) -> bool:
        """Whether the model does."""
        return self.model.has_own_preprocessing

    @property
    def untrained(self) -> Model:
        """The same around the untrained model."""
        return dataclasses.replace(self, model=self.model.untrained)

    def fingerprint(self) -> str | None:
        """That of the model."""
        return self.model.fingerprint()

    def obstacle(self) -> str | None:
        """That of the model."""
        return self.model.obstacle()

    def with_absolute_paths(self: Self) -> Self:
        """The same around the model with absolute locations."""
        return dataclasses.replace(self, model=self.model.with_absolute_paths())
