"""A claim about the ranks of two numbers over networks, pooled or within families, with Spearman's rho."""

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
    """Two numbers rise and fall together over the levels of a factor: Spearman's rho over levels, not over seeds.

    The replicates are the levels of `over`, such as networks: their values are averaged over seeds and the other
    factors first. `centred` subtracts the mean of each of its levels, such as a family of networks, from both numbers,
    so that only what differs within families counts: families that differ in both can make a pooled correlation of
    any sign. `expected` is increasing or decreasing.

    rho is Pearson's correlation of the ranks. The interval is tanh(atanh(rho) +- 1.96 sqrt((1 + rho^2 / 2) / (n - 3)))
    (Bonett and Wright 2000), where each centred family costs one of the n levels, less one.
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
                f"A rank correlation is claimed to be increasing or decreasing, without a margin, got "
                f"expected={self.direction.value}, margin={self.margin}. Leave the margin out."
            )
        if self.centred is not None and self.centred.name == self.over.name:
            raise ValueError(
                f"centred names groups of the levels of over, got {self.over.name} for both. Name another factor."
            )

    @property
    def units(self) -> tuple[str, ...]:
        """The factors whose levels are the replicates, and their groups."""
        return (self.over.name,) if self.centred is None else (self.over.name, self.centred.name)

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors that the test looks at."""
        return (*self.units, *(factor.name for factor, _ in self.within))

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Both numbers."""
        return as_outcome(self.first), as_outcome(self.second)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures behind both."""
        return tuple(dict.fromkeys(measure for outcome in self.outcomes for measure in outcome.measures))

    @property
    def comparison(self) -> str:
        """What it is correlated with, and within what."""
        inside = "" if self.centred is None else f" within each {self.centred.name}"
        return f"in rank with {self.outcomes[1].title} over {self.over.name}{inside}"

    def pairs(self, table: StudyTable) -> DataFrame:
        """A row for each level of `over` that has both numbers: the factors looked at, x (second) and y (first)."""
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
        """Spearman's rho with its interval over the levels; None where fewer than two differ in both numbers."""
        from equistudy.analysis.trends import rank_correlation

        return rank_correlation(self.pairs(table), "x", "y", self.units[1:])

    def details(self, table: StudyTable) -> str:
        """Nothing beyond rho, which is an effect size."""
        return ""

    def test(self, table: StudyTable) -> Verdict:
        """Supported when the interval lies where the claim says, contradicted when it lies outside."""
        from equistudy.analysis.verdicts import judge_rank_correlation

        return judge_rank_correlation(self, self.correlation(table), self.over.name, table)

    @property
    def _factor(self) -> Factor:
        return self.over
