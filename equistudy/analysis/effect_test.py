"""The base of all tests of effects: direction, margin, levels, and one effect per seed."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import polars as pl

from equistudy.analysis.outcome import Outcome
from equistudy.analysis.table import StudyTable, level_value
from equistudy.measuring.measure import Measure
from equistudy.spec import CheckedFields, format_label
from equistudy.study.design import Factor
from equistudy.study.study import Verdict

__all__ = ["Direction", "EffectTest", "Within", "check_factor", "check_level"]


class Direction(Enum):
    """The direction in which a claim expects the outcome to change."""

    INCREASING = "increasing"
    DECREASING = "decreasing"
    UNCHANGED = "unchanged"


Within = tuple[tuple[Factor, Any], ...]


@dataclass(frozen=True, kw_only=True)
class EffectTest(CheckedFields):
    """Base of the tests: one effect per seed, with Student's t interval over the seeds.

    `within` fixes other factors at one level, as pairs (factor, level). Every cell of the remaining factors is judged
    separately: the claim is supported if it holds in all cells, and contradicted if it fails in one. With `on_average`
    the claim is about the mean over these cells. `margin` is in the unit of the effect: an increase or decrease is
    claimed to exceed it, and "unchanged", which requires a margin, to stay within it.
    """

    COERCED: ClassVar[frozenset[str]] = frozenset({"within"})

    expected: Direction | str
    within: Within = ()
    margin: float = 0.0
    on_average: bool = False

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "expected", Direction(self.expected))
        except ValueError:
            *options, last = (direction.value for direction in Direction)
            raise ValueError(
                f"expected must be {', '.join(options)} or {last}, got expected={self.expected!r}."
            ) from None
        if not 0 <= self.margin < math.inf or (self.margin == 0 and self.expected is Direction.UNCHANGED):
            raise ValueError(
                f"margin must be finite and at least 0, and positive for expected='unchanged', got "
                f"margin={self.margin}, expected={self.direction.value!r}. Set it to the smallest effect that matters."
            )
        for factor, level in self.within:
            check_level(factor, level, "within")

    @property
    def claimed_range(self) -> tuple[float, float]:
        """The range of effects that the claim asserts."""
        below = 0.0 - self.margin  # for a margin of 0 this is 0, not -0
        if self.direction is Direction.UNCHANGED:
            return below, self.margin
        return (self.margin, math.inf) if self.direction is Direction.INCREASING else (-math.inf, below)

    @property
    def direction(self) -> Direction:
        """The value of `expected` as a Direction."""
        return Direction(self.expected)

    @property
    def factors(self) -> tuple[str, ...]:
        """The names of the factors that the test uses."""
        own = () if self._factor is None else (self._factor.name,)
        return (*own, *(factor.name for factor, _ in self.within))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcome of the test."""
        return (self._outcome,)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures behind the outcome."""
        return self._outcome.measures

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the trials table that the test needs."""
        return tuple(column for outcome in self.outcomes for column in outcome.columns)

    @property
    def units(self) -> tuple[str, ...]:
        """The names of the factors whose levels are the replicates; none where the seeds are."""
        return ()

    @property
    def effect_unit(self) -> str:
        """The unit of the effect, in words."""
        return "effect"

    @property
    def within_text(self) -> str:
        """The levels of `within` as the end of a sentence or heading: `, at augmentation RandomCrop`."""
        levels = ", ".join(f"{factor.name} {format_label(level)}" for factor, level in self.within)
        return f", at {levels}" if levels else ""

    @property
    def comparison(self) -> str:
        """What is compared, in words: `per doubling of width`."""
        raise NotImplementedError

    def effects(self, table: StudyTable) -> pl.DataFrame:
        """One effect per seed that has all compared trials: columns seed and value."""
        raise NotImplementedError

    def details(self, table: StudyTable) -> str:
        """The effect size and other descriptive numbers, which do not enter the verdict."""
        from equistudy.analysis.contrasts import hedges_g

        g = hedges_g(self.effects(table)["value"].to_numpy())
        return "" if g is None else f"Hedges' g = {g:.2f}"

    def test(self, table: StudyTable) -> Verdict:
        """The verdict on this claim alone; `judge_claims` corrects its p over all claims of the study."""
        raise NotImplementedError

    @property
    def is_absolute(self) -> bool:
        """Whether the effect is the outcome itself rather than a difference or slope."""
        return False

    def select_compared(self, frame: pl.DataFrame, table: StudyTable) -> pl.DataFrame:
        """The rows of a frame that take part in the test: those at the levels of `within`."""
        own = {factor.name: factor for factor in table.study.design.factors}
        for factor, level in self.within:
            frame = frame.filter(pl.col(factor.name) == level_value(own[factor.name], level))
        return frame

    def can_compare(self, table: StudyTable) -> bool:
        """Whether the design of a table, for instance of one cell, contains what the test compares."""
        return len(table.design) > 0

    def find_gap(self, table: StudyTable) -> str | None:
        """A sentence that says which missing results leave the claim undecided, or None."""
        return None

    def describe_effect(self, effect: float, shown: str) -> str:
        """The effect in words, following the outcome: `falls with width: -0.03 per doubling of width`."""
        raise NotImplementedError

    @property
    def _factor(self) -> Factor | None:
        raise NotImplementedError

    @property
    def _outcome(self) -> Outcome:
        raise NotImplementedError

    def _select_values(self, table: StudyTable) -> tuple[pl.DataFrame, list[str]]:
        """The values of the trials that are compared, and the names of the other factors."""
        others = [name for name in table.factors if self._factor is None or name != self._factor.name]
        return self.select_compared(self._outcome.values_per_trial(table), table), others


def check_factor(factor: Any, where: str) -> None:
    """Raises TypeError if `factor` is not a Factor; `where` names the field."""
    if not isinstance(factor, Factor):
        raise TypeError(f"{where} must be a Factor, got {factor!r}. Pass the factor itself, as in the design.")


def check_level(factor: Factor, level: Any, where: str) -> None:
    """Raises ValueError if the factor has no such level; `where` names the field."""
    check_factor(factor, "factor")
    if level not in factor.levels:
        levels = ", ".join(map(format_label, factor.levels))
        raise ValueError(f"{where} must be a level of {factor.name}, got {format_label(level)}. Levels: {levels}.")
