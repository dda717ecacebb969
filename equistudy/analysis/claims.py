"""Claims as specs: a trend over a factor, a contrast between two of its levels, or a value at one of them."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from equistudy.analysis.effect_test import EffectTest, check_level
from equistudy.analysis.outcome import Outcome, Quantity, as_learned_outcome, as_outcome
from equistudy.analysis.rounding import format_rounded
from equistudy.analysis.table import StudyTable, level_value
from equistudy.spec import format_label
from equistudy.study.design import Factor
from equistudy.study.study import Verdict

__all__ = ["Contrast", "SeedTest", "Trend", "Value"]


class SeedTest(EffectTest):
    """Base of the claims that Student's t interval over the seeds decides."""

    def test(self, table: StudyTable) -> Verdict:
        """Supported when the 95 % interval excludes 0 on the expected side, contradicted on the other.

        `p` is that of this claim alone; `judge_claims` corrects it over the study's claims.
        """
        from equistudy.analysis.verdicts import judge_effect

        return judge_effect(self, table)


@dataclass(frozen=True)
class Trend(SeedTest):
    """The outcome rises or falls with a numeric factor: the slope, per doubling where the factor is logarithmic.

    A level without any result decides nothing, unless `allow_absent_levels`: a line through the others estimates
    something else where the trend bends.
    """

    outcome: Quantity
    over: Factor
    allow_absent_levels: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "outcome", as_learned_outcome(self.outcome))
        if not self.over.is_numeric or len(self.over.levels) < 2:
            levels = ", ".join(map(format_label, self.over.levels))
            raise ValueError(
                f"Trend needs a factor with at least two numbers, got {self.over.name}: {levels}. "
                "Use Contrast to compare two levels."
            )

    @property
    def comparison(self) -> str:
        """Per doubling of the factor, or per unit of it."""
        return f"per doubling of {self.over.name}" if self.over.log else f"per unit of {self.over.title}"

    def describe_effect(self, effect: float, shown: str) -> str:
        """Rises or falls with the factor."""
        return f"{'rises' if effect > 0 else 'falls'} with {self.over.name}: {shown} {self.comparison}"

    def can_compare(self, table: StudyTable) -> bool:
        """At least two levels."""
        return table.design[self.over.name].drop_nulls().n_unique() > 1

    def find_gap(self, table: StudyTable) -> str | None:
        """A level of the factor at which no trial has a value."""
        frame, _ = self._select_values(table)
        planned = self.select_compared(table.design, table)[self.over.name].drop_nulls().unique().sort()
        absent = [format_label(level) for level in planned if level not in set(frame[self.over.name])]
        if not absent or frame.is_empty() or self.allow_absent_levels:
            return None
        return f"No trial at {self.over.name} {', '.join(absent)} has a value"

    def effects(self, table: StudyTable) -> pl.DataFrame:
        """One slope a seed."""
        from equistudy.analysis.trends import fit_slopes

        frame, others = self._select_values(table)
        return fit_slopes(frame, self.over.name, others, log=self.over.log)

    def details(self, table: StudyTable) -> str:
        """Hedges g of the slopes and Spearman's rho over the trials."""
        from equistudy.analysis.trends import format_rank_correlation, rank_correlation

        frame, others = self._select_values(table)
        rho = rank_correlation(frame, self.over.name, "value", others)
        ranks = "" if rho is None else f"Spearman rho = {format_rank_correlation(rho)}"
        return "; ".join(filter(None, [super().details(table), ranks]))

    @property
    def _factor(self) -> Factor:
        return self.over

    @property
    def _outcome(self) -> Outcome:
        return as_outcome(self.outcome)


@dataclass(frozen=True)
class Contrast(SeedTest):
    """The outcome at one level of a factor minus that at its baseline, paired within seed and other factors.

    `expected="increasing"` claims that the level gives more than the baseline.
    """

    outcome: Quantity
    factor: Factor
    level: Any
    baseline: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "outcome", as_learned_outcome(self.outcome))
        check_level(self.factor, self.level, "level")
        check_level(self.factor, self.baseline, "baseline")
        if self.level == self.baseline:
            raise ValueError(f"Contrast needs two different levels, got {format_label(self.level)} twice.")

    @property
    def comparison(self) -> str:
        """Level minus baseline."""
        return f"for {format_label(self.level)} minus {format_label(self.baseline)}"

    def describe_effect(self, effect: float, shown: str) -> str:
        """Higher or lower at the level than at the baseline."""
        word = "higher" if effect > 0 else "lower"
        return (
            f"is {word} with {self.factor.name} {format_label(self.level)} than with "
            f"{format_label(self.baseline)}, by {shown}"
        )

    def can_compare(self, table: StudyTable) -> bool:
        """Both levels."""
        return set(self._level_values(table)) <= set(table.design[self.factor.name])

    def effects(self, table: StudyTable) -> pl.DataFrame:
        """One difference a seed."""
        from equistudy.analysis.contrasts import paired_differences

        frame, others = self._select_values(table)
        return paired_differences(frame, self.factor.name, self._level_values(table), others)

    def details(self, table: StudyTable) -> str:
        """Hedges g of the differences, and Welch's interval, which does not know which values share a seed."""
        from equistudy.analysis.contrasts import paired_samples
        from equistudy.analysis.intervals import welch_interval

        frame, others = self._select_values(table)
        first, second = paired_samples(frame, self.factor.name, self._level_values(table), others)
        unpaired = ""
        if min(len(first), len(second)) > 1:
            found = welch_interval(first, second)
            numbers = (format_rounded(value, found.half_width) for value in found[:3] if value is not None)
            unpaired = "unpaired (Welch) {} [{}, {}]".format(*numbers)
        return "; ".join(filter(None, [super().details(table), unpaired]))

    def select_compared(self, frame: pl.DataFrame, table: StudyTable) -> pl.DataFrame:
        """Of these rows, those at the two levels."""
        return super().select_compared(frame, table).filter(pl.col(self.factor.name).is_in(self._level_values(table)))

    def _level_values(self, table: StudyTable) -> tuple[Any, Any]:
        """The two levels as they stand in the table."""
        own = next(factor for factor in table.study.design.factors if factor.name == self.factor.name)
        return level_value(own, self.level), level_value(own, self.baseline)

    @property
    def _factor(self) -> Factor:
        return self.factor

    @property
    def _outcome(self) -> Outcome:
        return as_outcome(self.outcome)


@dataclass(frozen=True)
class Value(SeedTest):
    """The outcome itself, averaged over the cells of the factors that `within` leaves open: one value a seed.

    `expected="decreasing"` claims that it lies below `than`, "unchanged" that it is `than` within the margin.
    """

    outcome: Quantity
    than: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "outcome", as_outcome(self.outcome))

    @property
    def claimed_range(self) -> tuple[float, float]:
        """From where to where the value lies if the claim is true."""
        low, high = super().claimed_range
        return low + self.than, high + self.than

    @property
    def is_absolute(self) -> bool:
        """Yes."""
        return True

    @property
    def comparison(self) -> str:
        """Nothing: it is the value itself."""
        return "itself"

    def describe_effect(self, effect: float, shown: str) -> str:
        """The value."""
        return f"is {shown}"

    def effects(self, table: StudyTable) -> pl.DataFrame:
        """One value a seed."""
        from equistudy.analysis.replicates import average_per_seed

        frame, others = self._select_values(table)
        return average_per_seed(frame, by=(), over=others)

    def details(self, table: StudyTable) -> str:
        """Nothing: a value has no effect size."""
        return ""

    @property
    def _factor(self) -> None:
        return None

    @property
    def _outcome(self) -> Outcome:
        return as_outcome(self.outcome)
