"""Paired contrasts: one level against another within the same seed and the same other factors; Holm over a family."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from equistudy.analysis.replicates import average_per_seed

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
    """`value` at the first level of `pair` minus `value` at the second: one row a seed, columns seed and value.

    Paired within (seed, other factors), then averaged over the other factors' cells. A cell without both levels in any
    seed has no contrast and takes no part.
    """
    paired = _pair_cells(frame, factor, pair, others).with_columns(value=pl.col("value") - pl.col("value_baseline"))
    return average_per_seed(paired, by=(), over=others)


def paired_samples(
    frame: pl.DataFrame, factor: str, pair: tuple[Any, Any], others: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """The values behind `paired_differences`, one per seed: at the first level of `pair`, and at the second."""
    paired = _pair_cells(frame, factor, pair, others)
    first, second = (
        average_per_seed(paired, by=(), over=others, value=name)[name] for name in ("value", "value_baseline")
    )
    return first.to_numpy(), second.to_numpy()


def _pair_cells(frame: pl.DataFrame, factor: str, pair: tuple[Any, Any], others: Sequence[str]) -> pl.DataFrame:
    """`value` at the first level and `value_baseline` at the second, in a row for each cell and seed."""
    level, baseline = (
        frame.filter(pl.col(factor) == name).group_by(*others, "seed", maintain_order=True).agg(pl.col("value").mean())
        for name in pair
    )
    return level.join(baseline, on=[*others, "seed"], suffix="_baseline", nulls_equal=True, maintain_order="left")


def hedges_g(effects: Sequence[float] | np.ndarray) -> float | None:
    """The mean of paired differences in their own standard deviations, corrected for small n (Hedges 1981).

    g = J(n - 1) * mean / s with J(m) = Gamma(m / 2) / (sqrt(m / 2) * Gamma((m - 1) / 2)). J exists from m = 2 on:
    None for fewer than 3 differences, and for differences without spread.
    """
    array = np.asarray(effects, dtype=float)
    freedom = array.size - 1
    if freedom < 2 or array.std() == 0:
        return None
    correction = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    return float(correction * array.mean() / array.std(ddof=1))


def holm_correction(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's correction over a family (Holm 1979), in the order given. None stays None.

    A p that could not be computed counts as 1, so that the family is the declared one and not the one that ran.
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
    """A sentence when n seeds are too few for a rank test ever to be significant at 5 %; empty when they suffice."""
    if wilcoxon_min_p_value(n) < ALPHA:
        return ""
    enough = next(count for count in range(n, 20) if wilcoxon_min_p_value(count) < ALPHA)
    seeds = "seed" if n == 1 else "seeds"
    return (
        f"Wilcoxon's test with {n} {seeds} cannot reach p < {ALPHA}: its smallest p is {wilcoxon_min_p_value(n):.3g}. "
        f"It needs at least {enough} seeds."
    )
