"""Tests of claims: a trend over a factor, a contrast between two of its levels, or the value itself."""

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from equistudy.analysis.effect_test import EffectTest, check_factor, check_level
from equistudy.analysis.outcome import Outcome, Quantity, as_learned_outcome, as_outcome
from equistudy.analysis.rounding import format_rounded
from equistudy.analysis.table import StudyTable, level_value
from equistudy.spec import format_label
from equistudy.study.design import Factor
from equistudy.study.study import Verdict

__all__ = ["Contrast", "SeedTest", "Trend", "Value"]


class SeedTest(EffectTest):
    """Base of the tests that are decided by Student's t interval over the seeds."""

    def test(self, table: StudyTable) -> Verdict:
        """Supported if the 95 % interval lies inside the claimed range, contradicted if it lies outside.

        `p` is that of this claim alone; `judge_claims` corrects it over all claims of the study.
        """
        from equistudy.analysis.verdicts import judge_effect

        return judge_effect(self, table)


@dataclass(frozen=True)
class Trend(SeedTest):
    """The slope of an outcome over a numeric factor, per doubling if the factor is logarithmic.

    If a level has no result at all, the claim is undecided unless `allow_absent_levels` is set, because a line through
    the other levels estimates something else if the trend is not linear.

    >>> import equistudy as eq
    >>> width = eq.Factor("width", levels=(4, 8, 16), log=True)
    >>> eq.Trend(eq.WithinCorrelation(eq.Translation(4)), over=width, expected="decreasing").comparison
    'per doubling of width'
    """

    outcome: Quantity
    over: Factor
    allow_absent_levels: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "outcome", as_learned_outcome(self.outcome))
        check_factor(self.over, "over")
        if not self.over.is_numeric or len(self.over.levels) < 2:
            levels = ", ".join(map(format_label, self.over.levels))
            raise ValueError(
                f"Trend needs a factor with at least two numbers, got {self.over.name}: {levels}. "
                "Use Contrast to compare two levels."
            )

    @property
    def comparison(self) -> str:
        """The phrase "per doubling of" the factor, or "per unit of" it."""
        return f"per doubling of {self.over.name}" if self.over.log else f"per unit of {self.over.title}"

    @property
    def effect_unit(self) -> str:
        """A slope, per doubling or per unit of the factor."""
        return f"slope {self.comparison}"

    def describe_effect(self, effect: float, shown: str) -> str:
        """The effect in words: rises or falls with the factor."""
        return f"{'rises' if effect > 0 else 'falls'} with {self.over.name}: {shown} {self.comparison}"

    def can_compare(self, table: StudyTable) -> bool:
        """Whether the design has at least two levels of the factor."""
        return table.design[self.over.name].drop_nulls().n_unique() > 1

    def find_gap(self, table: StudyTable) -> str | None:
        """A sentence that names the levels without any value, or None."""
        frame, _ = self._select_values(table)
        planned = self.select_compared(table.design, table)[self.over.name].drop_nulls().unique().sort()
        absent = [format_label(level) for level in planned if level not in set(frame[self.over.name])]
        if not absent or frame.is_empty() or self.allow_absent_levels:
            return None
        return f"No trial at {self.over.name} {', '.join(absent)} has a value"

    def effects(self, table: StudyTable) -> pl.DataFrame:
        """One slope per seed."""
        from equistudy.analysis.trends import fit_slopes

        frame, others = self._select_values(table)
        return fit_slopes(frame, self.over.name, others, log=self.over.log)

    def details(self, table: StudyTable) -> str:
        """Hedges' g of the slopes, and Spearman's rho over the trials."""
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
    """The outcome at one level of a factor minus that at a baseline level, paired within seed and other factors.

    `expected="increasing"` claims that the outcome is higher at `level` than at `baseline`.

    >>> import equistudy as eq
    >>> none, crop = eq.NoAugmentation(), eq.RandomCrop(padding=4)
    >>> augmentation = eq.Factor("augmentation", levels=(none, crop))
    >>> eq.Contrast(eq.Accuracy(), augmentation, crop, baseline=none, expected="increasing").direction.value
    'increasing'
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
            raise ValueError(
                f"Contrast needs two different levels, got {format_label(self.level)} twice. Name another baseline."
            )

    @property
    def comparison(self) -> str:
        """The phrase "LEVEL minus BASELINE"."""
        return f"for {format_label(self.level)} minus {format_label(self.baseline)}"

    @property
    def effect_unit(self) -> str:
        """A difference of outcomes."""
        return "difference"

    def describe_effect(self, effect: float, shown: str) -> str:
        """The effect in words: higher or lower at the level than at the baseline."""
        word = "higher" if effect > 0 else "lower"
        return (
            f"is {word} with {self.factor.name} {format_label(self.level)} than with "
            f"{format_label(self.baseline)}: {shown}"
        )

    def can_compare(self, table: StudyTable) -> bool:
        """Whether the design has both levels."""
        return set(self._level_values(table)) <= set(table.design[self.factor.name])

    def effects(self, table: StudyTable) -> pl.DataFrame:
        """One difference per seed."""
        from equistudy.analysis.contrasts import paired_differences

        frame, others = self._select_values(table)
        return paired_differences(frame, self.factor.name, self._level_values(table), others)

    def details(self, table: StudyTable) -> str:
        """Hedges' g of the differences, and Welch's interval, which ignores the pairing by seed."""
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
        """The rows at the two levels."""
        return super().select_compared(frame, table).filter(pl.col(self.factor.name).is_in(self._level_values(table)))

    def _level_values(self, table: StudyTable) -> tuple[Any, Any]:
        """The two levels as they appear in the table."""
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
    """The outcome itself, one value per seed, averaged over the cells that `within` does not fix.

    `expected="decreasing"` claims that it is below `than`, and "unchanged" that it equals `than` within the margin.

    >>> import equistudy as eq
    >>> eq.Value(eq.Accuracy(), than=0.9, expected="increasing").claimed_range
    (0.9, inf)
    """

    outcome: Quantity
    than: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "outcome", as_outcome(self.outcome))

    @property
    def claimed_range(self) -> tuple[float, float]:
        """The range of values that the claim asserts."""
        low, high = super().claimed_range
        return low + self.than, high + self.than

    @property
    def is_absolute(self) -> bool:
        """Always true."""
        return True

    @property
    def comparison(self) -> str:
        """Empty, because nothing is compared."""
        return "itself"

    @property
    def effect_unit(self) -> str:
        """The outcome's own value."""
        return "value"

    def describe_effect(self, effect: float, shown: str) -> str:
        """The value in words."""
        return f"is {shown}"

    def effects(self, table: StudyTable) -> pl.DataFrame:
        """One value per seed."""
        from equistudy.analysis.intervals import average_per_seed

        frame, others = self._select_values(table)
        return average_per_seed(frame, by=(), over=others)

    def details(self, table: StudyTable) -> str:
        """Empty, because a value has no effect size."""
        return ""

    @property
    def _factor(self) -> None:
        return None

    @property
    def _outcome(self) -> Outcome:
        return as_outcome(self.outcome)
