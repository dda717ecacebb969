"""What a search draws from and how it stops early, as specs: without Ray, so that a study file may name them."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

from equistudy.spec import CheckedFields, format_label

__all__ = ["Choice", "Halving", "LogUniform", "Uniform"]


@dataclass(frozen=True)
class Uniform(CheckedFields):
    """A number between two, all alike."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"low and high must be finite, with low less than high, got low={self.low}, high={self.high}. "
                f"Use Choice for a single level."
            )

    def list_examples(self) -> tuple[float, ...]:
        """Both ends and a number between them."""
        return self.low, (self.low + self.high) / 2, self.high


@dataclass(frozen=True)
class LogUniform(Uniform):
    """A positive number between two, all ratios alike."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise ValueError(f"Logarithms need positive numbers, got low={self.low}, high={self.high}. Use Uniform.")

    def list_examples(self) -> tuple[float, ...]:
        """Both ends and the geometric mean."""
        return self.low, (self.low * self.high) ** 0.5, self.high


@dataclass(frozen=True)
class Choice(CheckedFields):
    """One of some levels, all alike."""

    COERCED: ClassVar[frozenset[str]] = frozenset({"categories"})

    categories: tuple[Any, ...]

    def __post_init__(self) -> None:
        if isinstance(self.categories, str) or not isinstance(self.categories, Iterable):
            raise TypeError(
                f"Choice.categories must be a tuple of levels, got {self.categories!r}. Write Choice((1, 2, 4))."
            )
        object.__setattr__(self, "categories", tuple(self.categories))
        if not self.categories or len({format_label(level) for level in self.categories}) < len(self.categories):
            raise ValueError(
                f"Choice needs one or more distinct levels, got {format_label(self.categories)}. Write each once."
            )

    def list_examples(self) -> tuple[Any, ...]:
        """All of them."""
        return self.categories


@dataclass(frozen=True)
class Halving(CheckedFields):
    """Asynchronous successive halving: after `first`, `first` x `factor`, ... epochs the best 1 / `factor` go on.

    A trial is judged when it comes to such a rung, among those that came there before it. `epochs` is the most.

    Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", arXiv:1810.05934; Ray Tune's ASHA.
    """

    epochs: int
    first: int = 1
    factor: int = 3

    def __post_init__(self) -> None:
        if not (self.factor >= 2 and 1 <= self.first < self.epochs):
            raise ValueError(
                f"Halving needs factor of at least 2 and first from 1 to epochs - 1, got first={self.first}, "
                f"factor={self.factor}, epochs={self.epochs}. For example Halving(epochs=27, first=3, factor=3)."
            )

    @property
    def rungs(self) -> tuple[int, ...]:
        """After how many epochs trials are judged."""
        rungs = [self.first]
        while rungs[-1] * self.factor < self.epochs:
            rungs.append(rungs[-1] * self.factor)
        return tuple(rungs)
