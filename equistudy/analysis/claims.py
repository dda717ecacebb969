"""Claims as specs: a trend over a factor, a contrast between two of its levels, or a value at one of them."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from equistudy.analysis.outcome import Outcome, Quantity, outcome_of
from equistudy.measures.measure import Measure
from equistudy.spec import label
from equistudy.study.design import Factor
from equistudy.study.study import Verdict

if TYPE_CHECKING:
    from polars import DataFrame

    from equistudy.analysis.table import StudyTable
else:
    # A study file names claims; Polars is imported where there is a table to test them on.
    DataFrame = StudyTable = Any

__all__ = ["Contrast", "Direction", "EffectTest", "Trend", "Value"]


class Direction(Enum):
    """Which way a claim expects the outcome to go: with rising level, or at the level against the baseline."""

    INCREASING = "increasing"
    DECREASING = "decreasing"
    UNCHANGED = "unchanged"


Within = tuple[tuple[Factor, Any], ...]


@dataclass(frozen=True, kw_only=True)
class EffectTest:
    """Base of the tests: one effect per seed, Student's t interval over the seeds.

    `within` restricts the test to one level of other factors, as pairs of a factor and its level. `margin` is in the
    unit of the effect: a claim that it goes one way claims that it goes farther than the margin, and a claim that it is
    unchanged, which needs one, that it stays inside.
    """

    expected: Direction | str
    within: Within = ()
    margin: float = 0.0

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
            _check_level(factor, level, "within")

    @property
    def claimed(self) -> tuple[float, float]:
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
    def place(self) -> str:
        """The levels of `within`, as headings and sentences end: `, at augmentation RandomCrop`."""
        levels = ", ".join(f"{factor.name} {label(level)}" for factor, level in self.within)
        return f", at {levels}" if levels else ""

    @property
    def comparison(self) -> str:
        """What is compared, as a heading: `per doubling of width`."""
        raise NotImplementedError

    def effects(self, table: StudyTable) -> DataFrame:
        """One effect a seed, for the seeds that have every trial compared: columns seed and value."""
        raise NotImplementedError

    def details(self, table: StudyTable) -> str:
        """The effect size, and what else describes the effect without deciding about it."""
        from equistudy.analysis.contrasts import hedges_g

        g = hedges_g(self.effects(table)["value"].to_numpy())
        return "" if g is None else f"Hedges g = {g:.2f}"

    def test(self, table: StudyTable) -> Verdict:
        """Supported when the 95 % interval excludes 0 on the expected side, contradicted on the other.

        `p` is that of this claim alone; `judge` corrects it over the study's claims.
        """
        from equistudy.analysis.verdicts import verdict_of

        return verdict_of(self, table)

    def compared(self, frame: DataFrame, table: StudyTable) -> DataFrame:
        """The rows of a frame beside the design that take part: those at the levels that `within` names."""
        from polars import col

        from equistudy.analysis.table import level_value

        own = {factor.name: factor for factor in table.study.design.factors}
        for factor, level in self.within:
            frame = frame.filter(col(factor.name) == level_value(own[factor.name], level))
        return frame

    def finding(self, effect: float, shown: str) -> str:
        """The effect in words, after the outcome: `falls with width: -0.03 per doubling of width`."""
        raise NotImplementedError

    @property
    def _factor(self) -> Factor | None:
        raise NotImplementedError

    @property
    def _outcome(self) -> Outcome:
        raise NotImplementedError

    def _values(self, table: StudyTable) -> tuple[DataFrame, list[str]]:
        """The values per trial that are compared, and the factors other than the one compared."""
        others = [name for name in table.factors if self._factor is None or name != self._factor.name]
        return self.compared(self._outcome.per_trial(table), table), others


@dataclass(frozen=True)
class Trend(EffectTest):
    """The outcome rises or falls with a numeric factor: the slope, per doubling where the factor is logarithmic."""

    outcome: Quantity
    over: Factor

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "outcome", outcome_of(self.outcome))
        if not self.over.numeric or len(self.over.levels) < 2:
            levels = ", ".join(map(label, self.over.levels))
            raise ValueError(
                f"Trend needs a factor with at least two numbers, got {self.over.name}: {levels}. "
                "Use Contrast to compare two levels."
            )

    @property
    def comparison(self) -> str:
        """Per doubling of the factor, or per unit of it."""
        return f"per doubling of {self.over.name}" if self.over.log else f"per unit of {self.over.title}"

    def finding(self, effect: float, shown: str) -> str:
        """Rises or falls with the factor."""
        return f"{'rises' if effect > 0 else 'falls'} with {self.over.name}: {shown} {self.comparison}"

    def effects(self, table: StudyTable) -> DataFrame:
        """One slope a seed."""
        from equistudy.analysis.trends import slopes

        frame, others = self._values(table)
        return slopes(frame, self.over.name, others, log=self.over.log)

    def details(self, table: StudyTable) -> str:
        """Hedges g of the slopes and Spearman's rho over the trials."""
        from equistudy.analysis.trends import rank_correlation, rank_text

        frame, others = self._values(table)
        rho = rank_correlation(frame, self.over.name, "value", others)
        ranks = "" if rho is None else f"Spearman rho = {rank_text(rho)}"
        return "; ".join(filter(None, [super().details(table), ranks]))

    @property
    def _factor(self) -> Factor:
        return self.over

    @property
    def _outcome(self) -> Outcome:
        return outcome_of(self.outcome)


@dataclass(frozen=True)
class Contrast(EffectTest):
    """The outcome at one level of a factor minus that at its baseline, paired within seed and other factors.

    `expected="increasing"` claims that the level gives more than the baseline.
    """

    outcome: Quantity
    factor: Factor
    level: Any
    baseline: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "outcome", outcome_of(self.outcome))
        _check_level(self.factor, self.level, "level")
        _check_level(self.factor, self.baseline, "baseline")
        if self.level == self.baseline:
            raise ValueError(f"Contrast needs two different levels, got {label(self.level)} twice.")

    @property
    def comparison(self) -> str:
        """Level minus baseline."""
        return f"for {label(self.level)} minus {label(self.baseline)}"

    def finding(self, effect: float, shown: str) -> str:
        """Higher or lower at the level than at the baseline."""
        word = "higher" if effect > 0 else "lower"
        return f"is {word} with {self.factor.name} {label(self.level)} than with {label(self.baseline)}, by {shown}"

    def effects(self, table: StudyTable) -> DataFrame:
        """One difference a seed."""
        from equistudy.analysis.contrasts import differences

        frame, others = self._values(table)
        return differences(frame, self.factor.name, self._pair(table), others)

    def details(self, table: StudyTable) -> str:
        """Hedges g of the differences, and Welch's interval, which does not know which values share a seed."""
        from equistudy.analysis.contrasts import sides
        from equistudy.analysis.intervals import welch_interval
        from equistudy.analysis.rounding import rounded

        frame, others = self._values(table)
        first, second = sides(frame, self.factor.name, self._pair(table), others)
        unpaired = ""
        if min(len(first), len(second)) > 1:
            found = welch_interval(first, second)
            numbers = (rounded(value, found.half_width) for value in found[:3] if value is not None)
            unpaired = "unpaired (Welch) {} [{}, {}]".format(*numbers)
        return "; ".join(filter(None, [super().details(table), unpaired]))

    def compared(self, frame: DataFrame, table: StudyTable) -> DataFrame:
        """Of these rows, those at the two levels."""
        from polars import col

        return super().compared(frame, table).filter(col(self.factor.name).is_in(self._pair(table)))

    def _pair(self, table: StudyTable) -> tuple[Any, Any]:
        """The two levels as they stand in the table."""
        from equistudy.analysis.table import level_value

        own = next(factor for factor in table.study.design.factors if factor.name == self.factor.name)
        return level_value(own, self.level), level_value(own, self.baseline)

    @property
    def _factor(self) -> Factor:
        return self.factor

    @property
    def _outcome(self) -> Outcome:
        return outcome_of(self.outcome)


@dataclass(frozen=True)
class Value(EffectTest):
    """The outcome itself, averaged over the cells of the factors that `within` leaves open: one value a seed.

    `expected="decreasing"` claims that it lies below `than`, "unchanged" that it is `than` within the margin.
    """

    outcome: Quantity
    than: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "outcome", outcome_of(self.outcome))

    @property
    def claimed(self) -> tuple[float, float]:
        """From where to where the value lies if the claim is true."""
        low, high = super().claimed
        return low + self.than, high + self.than

    @property
    def comparison(self) -> str:
        """Nothing: it is the value itself."""
        return "itself"

    def finding(self, effect: float, shown: str) -> str:
        """The value."""
        return f"is {shown}"

    def effects(self, table: StudyTable) -> DataFrame:
        """One value a seed."""
        from equistudy.analysis.replicates import per_seed

        frame, others = self._values(table)
        return per_seed(frame, by=(), over=others)

    def details(self, table: StudyTable) -> str:
        """Nothing: a value has no effect size."""
        return ""

    @property
    def _factor(self) -> None:
        return None

    @property
    def _outcome(self) -> Outcome:
        return outcome_of(self.outcome)


def _check_level(factor: Factor, level: Any, where: str) -> None:
    if level not in factor.levels:
        levels = ", ".join(map(label, factor.levels))
        raise ValueError(f"{where} must be a level of {factor.name}, got {label(level)}. Levels: {levels}.")
