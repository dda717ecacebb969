"""What every claim about effects has in common: which way, how far, at which levels, and one effect per seed."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import polars as pl

from equistudy.analysis.outcome import Outcome
from equistudy.analysis.table import StudyTable, level_value
from equistudy.measuring.measure import Measure
from equistudy.spec import format_label
from equistudy.study.design import Factor
from equistudy.study.study import Verdict

__all__ = ["Direction", "EffectTest", "Within", "check_level"]


class Direction(Enum):
    """Which way a claim expects the outcome to go: with rising level, or at the level against the baseline."""

    INCREASING = "increasing"
    DECREASING = "decreasing"
    UNCHANGED = "unchanged"


Within = tuple[tuple[Factor, Any], ...]


@dataclass(frozen=True, kw_only=True)
class EffectTest:
    """Base of the tests: one effect per seed, Student's t interval over the seeds.

    `within` restricts the test to one level of other factors, as pairs of a factor and its level. Of the factors that
    it leaves open, every cell is judged: the claim is supported where it holds in each of them, and contradicted where
    it fails in one. `on_average` claims it of the mean over these cells alone. `margin` is in the unit of the effect: a
    claim that it goes one way claims that it goes farther than the margin, and a claim that it is unchanged, which
    needs one, that it stays inside.
    """

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
                f"A margin is a finite size of the effect, and positive where nothing is expected to change, got "
                f"margin={self.margin}, expected={self.direction.value}. Give the smallest effect that matters."
            )
        for factor, level in self.within:
            check_level(factor, level, "within")

    @property
    def claimed_range(self) -> tuple[float, float]:
        """From where to where the effect lies if the claim is true."""
        below = 0.0 - self.margin  # where the margin is 0 it is 0, not -0
        if self.direction is Direction.UNCHANGED:
            return below, self.margin
        return (self.margin, math.inf) if self.direction is Direction.INCREASING else (-math.inf, below)

    @property
    def direction(self) -> Direction:
        """`expected` as a direction."""
        return Direction(self.expected)

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors that the test looks at."""
        own = () if self._factor is None else (self._factor.name,)
        return (*own, *(factor.name for factor, _ in self.within))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcome that the test looks at."""
        return (self._outcome,)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that the test looks at."""
        return self._outcome.measures

    @property
    def within_text(self) -> str:
        """The levels of `within`, as headings and sentences end: `, at augmentation RandomCrop`."""
        levels = ", ".join(f"{factor.name} {format_label(level)}" for factor, level in self.within)
        return f", at {levels}" if levels else ""

    @property
    def comparison(self) -> str:
        """What is compared, as a heading: `per doubling of width`."""
        raise NotImplementedError

    def effects(self, table: StudyTable) -> pl.DataFrame:
        """One effect a seed, for the seeds that have every trial compared: columns seed and value."""
        raise NotImplementedError

    def details(self, table: StudyTable) -> str:
        """The effect size, and what else describes the effect without deciding about it."""
        from equistudy.analysis.contrasts import hedges_g

        g = hedges_g(self.effects(table)["value"].to_numpy())
        return "" if g is None else f"Hedges g = {g:.2f}"

    def test(self, table: StudyTable) -> Verdict:
        """The verdict on this claim alone; `judge_claims` corrects its p over the study's claims."""
        raise NotImplementedError

    @property
    def is_absolute(self) -> bool:
        """Whether the effect is the value of the outcome itself, and no difference or slope."""
        return False

    def select_compared(self, frame: pl.DataFrame, table: StudyTable) -> pl.DataFrame:
        """The rows of a frame beside the design that take part: those at the levels that `within` names."""
        own = {factor.name: factor for factor in table.study.design.factors}
        for factor, level in self.within:
            frame = frame.filter(pl.col(factor.name) == level_value(own[factor.name], level))
        return frame

    def can_compare(self, table: StudyTable) -> bool:
        """Whether the design of a table, such as that of one cell, has what the test compares."""
        return len(table.design) > 0

    def find_gap(self, table: StudyTable) -> str | None:
        """Why results that lack a part of the design decide nothing, or None."""
        return None

    def describe_effect(self, effect: float, shown: str) -> str:
        """The effect in words, after the outcome: `falls with width: -0.03 per doubling of width`."""
        raise NotImplementedError

    @property
    def _factor(self) -> Factor | None:
        raise NotImplementedError

    @property
    def _outcome(self) -> Outcome:
        raise NotImplementedError

    def _select_values(self, table: StudyTable) -> tuple[pl.DataFrame, list[str]]:
        """The values per trial that are compared, and the factors other than the one compared."""
        others = [name for name in table.factors if self._factor is None or name != self._factor.name]
        return self.select_compared(self._outcome.values_per_trial(table), table), others


def check_level(factor: Factor, level: Any, where: str) -> None:
    """ValueError if the factor has no such level; `where` names the field."""
    if level not in factor.levels:
        levels = ", ".join(map(format_label, factor.levels))
        raise ValueError(f"{where} must be a level of {factor.name}, got {format_label(level)}. Levels: {levels}.")
