"""Numbers of a trial that are not the values of a measure: its scores, and values that others report about a level."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from equistudy.analysis.table import DONE, StudyTable, level_value
from equistudy.measuring.measure import Measure
from equistudy.spec import CheckedFields
from equistudy.study.design import Factor, suggest_names

__all__ = ["ReportedValue", "Score", "TrialNumber"]


class TrialNumber(CheckedFields):
    """Base of the numbers per trial that are not the values of a single measure."""

    name: str

    @property
    def title(self) -> str:
        """The name in sentences and headings."""
        raise NotImplementedError

    @property
    def share(self) -> bool:
        """Whether it is a fraction of images."""
        return False

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures behind the number."""
        return ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the trials table that the number is computed from by name."""
        return ()

    @property
    def reason_absent(self) -> str:
        """Why a finished trial has no number."""
        return f"{self.title} not measured"

    def per_trial(self, table: StudyTable) -> pl.DataFrame:
        """The number of each trial that has one: columns trial and value."""
        raise NotImplementedError


@dataclass(frozen=True)
class Score(TrialNumber):
    """A numeric column of the trials table, such as `test_accuracy` or `parameters`.

    >>> import equistudy as eq
    >>> eq.Score("test_accuracy").title
    'test accuracy'
    """

    name: str

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    @property
    def columns(self) -> tuple[str, ...]:
        """The column itself."""
        return (self.name,)

    @property
    def share(self) -> bool:
        """Whether it is a fraction of images, as an accuracy is."""
        return self.name.endswith("accuracy")

    def per_trial(self, table: StudyTable) -> pl.DataFrame:
        """The column for every finished trial."""
        done = table.trials.filter(pl.col("status") == DONE)
        if done.is_empty():
            return pl.DataFrame(schema={"trial": pl.String, "value": pl.Float64})
        numeric = [name for name, kind in done.schema.items() if kind.is_numeric() and name not in table.factors]
        if self.name not in numeric:
            raise ValueError(f"Score needs a numeric column, got {self.name!r}. {suggest_names(self.name, numeric)}")
        return done.select("trial", value=pl.col(self.name).cast(pl.Float64)).unique()


@dataclass(frozen=True)
class ReportedValue(TrialNumber):
    """A number that is known for levels of a factor, such as the published accuracy of a pretrained network.

    `numbers` maps levels to numbers. Other levels have none; `unknown` is the reason that tables give for them.
    """

    name: str
    factor: Factor
    numbers: Mapping[Any, float] | tuple[tuple[Any, float], ...]
    unknown: str = "not known"

    def __post_init__(self) -> None:
        pairs = self.numbers.items() if isinstance(self.numbers, Mapping) else self.numbers
        object.__setattr__(self, "numbers", tuple((level, float(number)) for level, number in pairs))

    @property
    def title(self) -> str:
        """The name."""
        return self.name

    def per_trial(self, table: StudyTable) -> pl.DataFrame:
        """The number of the level of each finished trial."""
        numbers = {level_value(self.factor, level): number for level, number in self.numbers}
        done = table.trials.filter(pl.col("status") == DONE).select("trial", self.factor.name).unique()
        values = [numbers.get(level) for level in done[self.factor.name]]
        return done.select("trial").with_columns(pl.Series("value", values, dtype=pl.Float64))

    @property
    def reason_absent(self) -> str:
        """Why a finished trial has no number."""
        return self.unknown
