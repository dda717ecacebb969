"""Paired contrasts of two levels within the same seed and other factors, and Holm's correction over a family."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from equistudy.analysis.intervals import average_per_seed

__all__ = [
    "describe_rank_test_limit",
    "hedges_g",
    "holm_correction",
    "mann_whitney_min_p_value",
    "paired_differences",
    "paired_samples",
    "wilcoxon_min_p_value",
]

ALPHA = 0.05


def paired_differences(frame: pl.DataFrame, factor: str, pair: tuple[Any, Any], others: Sequence[str]) -> pl.DataFrame:
    """`value` at the first level of `pair` minus `value` at the second: one row per seed, columns seed and value.

    Paired within (seed, other factors), then averaged over the cells of the other factors. A cell that has both levels
    in no seed is left out.
    """
    paired = _pair_cells(frame, factor, pair, others).with_columns(value=pl.col("value") - pl.col("value_baseline"))
    return average_per_seed(paired, by=(), over=others)


def paired_samples(
    frame: pl.DataFrame, factor: str, pair: tuple[Any, Any], others: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The values behind `paired_differences`, one per seed: at the first and at the second level of `pair`."""
    paired = _pair_cells(frame, factor, pair, others)
    first, second = (
        average_per_seed(paired, by=(), over=others, value=name)[name] for name in ("value", "value_baseline")
    )
    return first.to_numpy(), second.to_numpy()


def _pair_cells(frame: pl.DataFrame, factor: str, pair: tuple[Any, Any], others: Sequence[str]) -> pl.DataFrame:
    """`value` at the first level and `value_baseline` at the second, one row per cell and seed."""
    level, baseline = (
        frame.filter(pl.col(factor) == name).group_by(*others, "seed", maintain_order=True).agg(pl.col("value").mean())
        for name in pair
    )
    return level.join(baseline, on=[*others, "seed"], suffix="_baseline", nulls_equal=True, maintain_order="left")


def hedges_g(effects: Sequence[float] | np.ndarray) -> float | None:
    """The mean of paired differences in units of their standard deviation, corrected for small n (Hedges 1981).

    g = J(n - 1) * mean / s with J(m) = Gamma(m / 2) / (sqrt(m / 2) * Gamma((m - 1) / 2)), which needs m >= 2. None for
    fewer than 3 differences, and for differences without spread.
    """
    array = np.asarray(effects, dtype=float)
    freedom = array.size - 1
    if freedom < 2 or array.std() == 0:
        return None
    correction = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    return float(correction * array.mean() / array.std(ddof=1))


def holm_correction(ps: Sequence[float | None]) -> list[float | None]:
    """The p values corrected by Holm's method over a family (Holm 1979), in the given order. None stays None.

    A p value that could not be computed counts as 1, so that the family consists of all declared claims.
    """
    known = sorted((p, index) for index, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(ps) - rank)))
        corrected[index] = largest
    return corrected


def wilcoxon_min_p_value(n: int) -> float:
    """The smallest two-sided p that Wilcoxon's signed-rank test (or the sign test) can give for n pairs: 2 / 2^n."""
    return min(1.0, 2.0 ** (1 - n))


def mann_whitney_min_p_value(first: int, second: int) -> float:
    """The smallest two-sided p that the Mann-Whitney test can give for two samples: 2 / C(first + second, first)."""
    return min(1.0, 2 / math.comb(first + second, first))


def describe_rank_test_limit(n: int) -> str:
    """A sentence if n seeds are too few for a rank test to reach significance at 5 %; empty if they suffice."""
    if wilcoxon_min_p_value(n) < ALPHA:
        return ""
    enough = next(count for count in range(n, 20) if wilcoxon_min_p_value(count) < ALPHA)
    seeds = "seed" if n == 1 else "seeds"
    return (
        f"Wilcoxon's test with {n} {seeds} cannot reach p < {ALPHA}: its smallest p is {wilcoxon_min_p_value(n):.3g}. "
        f"It needs at least {enough} seeds."
    )
