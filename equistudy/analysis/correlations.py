"""The test of a rank correlation between two numbers over networks, pooled or within families."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equistudy.analysis.effect_test import Direction, EffectTest
from equistudy.analysis.outcome import Outcome, Quantity, as_outcome
from equistudy.measuring.measure import Measure
from equistudy.study.design import Factor
from equistudy.study.study import Verdict

if TYPE_CHECKING:
    from polars import DataFrame

    from equistudy.analysis.intervals import Interval
    from equistudy.analysis.table import StudyTable
else:
    # A study file names claims; Polars is imported where there is a table to test them on.
    DataFrame = Interval = StudyTable = Any

__all__ = ["RankCorrelation"]


@dataclass(frozen=True)
class RankCorrelation(EffectTest):
    """Spearman's rank correlation of two numbers over the levels of a factor.

    The replicates are the levels of `over`, such as networks, not the seeds: values are first averaged over seeds and
    the other factors. `centred` names a factor, such as the family of a network, whose level means are subtracted from
    both numbers, so that only differences within families count; otherwise differences between families can give a
    pooled correlation of any sign. `expected` is increasing or decreasing.

    rho is Pearson's correlation of the ranks. The interval is tanh(atanh(rho) +- 1.96 sqrt((1 + rho^2 / 2) / (n - 3)))
    (Bonett and Wright 2000), where n is the number of levels, minus the number of centred families plus one.
    """

    first: Quantity
    second: Quantity
    over: Factor
    centred: Factor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("first", "second"):
            object.__setattr__(self, name, as_outcome(getattr(self, name)))
        if self.direction is Direction.UNCHANGED or self.margin:
            raise ValueError(
                f"RankCorrelation needs expected='increasing' or 'decreasing' and no margin, got "
                f"expected={self.direction.value!r}, margin={self.margin}. Leave the margin out."
            )
        if self.centred is not None and self.centred.name == self.over.name:
            raise ValueError(
                f"centred must differ from over, got {self.over.name} for both. Name the factor that groups its levels."
            )

    @property
    def units(self) -> tuple[str, ...]:
        """The factor whose levels are the replicates, and the one that groups them."""
        return (self.over.name,) if self.centred is None else (self.over.name, self.centred.name)

    @property
    def factors(self) -> tuple[str, ...]:
        """The names of the factors that the test uses."""
        return (*self.units, *(factor.name for factor, _ in self.within))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The two outcomes."""
        return as_outcome(self.first), as_outcome(self.second)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures behind both outcomes."""
        return tuple(dict.fromkeys(measure for outcome in self.outcomes for measure in outcome.measures))

    @property
    def comparison(self) -> str:
        """The phrase that names the second number, the levels, and the grouping."""
        inside = "" if self.centred is None else f" within each {self.centred.name}"
        return f"in rank with {self.outcomes[1].title} over {self.over.name}{inside}"

    @property
    def effect_unit(self) -> str:
        """The coefficient itself."""
        return "Spearman's rho"

    def pairs(self, table: StudyTable) -> DataFrame:
        """One row per level of `over` that has both numbers: the factors, x (second number) and y (first number)."""
        import polars as pl

        frames = [
            self.select_compared(outcome.values_per_trial(table), table)
            .group_by(self.units, maintain_order=True)
            .agg(pl.col("value").mean().alias(name))
            for outcome, name in zip(self.outcomes, ("y", "x"), strict=True)
        ]
        return (
            frames[0]
            .join(frames[1], on=self.units, nulls_equal=True, maintain_order="left")
            .select(*self.units, "x", "y")
        )

    def correlation(self, table: StudyTable) -> Interval | None:
        """Spearman's rho with its interval over the levels; None if fewer than two levels differ in both numbers."""
        from equistudy.analysis.trends import rank_correlation

        return rank_correlation(self.pairs(table), "x", "y", self.units[1:])

    def details(self, table: StudyTable) -> str:
        """Empty, because rho is an effect size itself."""
        return ""

    def test(self, table: StudyTable) -> Verdict:
        """Supported if the interval lies inside the claimed range, contradicted if it lies outside."""
        from equistudy.analysis.verdicts import judge_rank_correlation

        return judge_rank_correlation(self, self.correlation(table), self.over.name, table)

    @property
    def _factor(self) -> Factor:
        return self.over
