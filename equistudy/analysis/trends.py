"""Trends over a numeric factor: one slope per seed, and rank correlations with their intervals."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from equistudy.analysis.intervals import Interval, average_per_seed, fisher_interval

__all__ = [
    "centre_within_cells",
    "fit_slopes",
    "format_rank_correlation",
    "pearson_correlation",
    "rank_correlation",
    "spearman_correlation",
]


def fit_slopes(frame: pl.DataFrame, factor: str, others: Sequence[str], *, log: bool) -> pl.DataFrame:
    """The least-squares slope of `value` over the factor's levels: one row per seed, columns seed and value.

    Slopes are fitted within each (seed, other factors) and averaged over the cells of the other factors. With `log`
    they are per doubling of the level, otherwise per unit. A seed is used only if it has all levels that any seed has,
    because a line through fewer levels estimates something else if the trend is not linear.
    """
    level = pl.col(factor).cast(pl.Float64)
    points = frame.with_columns(level=level.log(2) if log else level).filter(pl.col("level").is_finite())
    points = points.group_by(*others, "seed", "level", maintain_order=True).agg(pl.col("value").mean())
    levels = points.group_by(*others, pl.lit(0).alias("whole")).agg(needed=pl.col("level").n_unique())
    lines = (
        points.group_by(*others, "seed", pl.lit(0).alias("whole"), maintain_order=True)
        .agg(value=pl.cov("level", "value") / pl.col("level").var(), levels=pl.len())
        .join(levels, on=[*others, "whole"], nulls_equal=True, maintain_order="left")
    )
    complete = lines.filter((pl.col("levels") == pl.col("needed")) & (pl.col("needed") >= 2))
    return average_per_seed(complete, by=(), over=others)


def centre_within_cells(frame: pl.DataFrame, column: str, cells: Sequence[str]) -> np.ndarray:
    """The column minus its mean within each cell, which removes differences between cells."""
    mean = pl.col(column).mean().over(cells) if cells else pl.col(column).mean()
    return frame.select(pl.col(column) - mean).to_series().to_numpy()


def pearson_correlation(x: np.ndarray, y: np.ndarray) -> Interval:
    """Pearson's correlation with Fisher's interval. Raises ValueError if x or y has no spread."""
    return fisher_interval(_compute_correlation(x, y), len(x))


def spearman_correlation(x: np.ndarray, y: np.ndarray, lost: int = 0) -> Interval:
    """Spearman's rank correlation with the interval of Bonett and Wright (2000). Raises ValueError without spread.

    `lost` is the number of degrees of freedom used by centring: one for each subtracted mean after the first.
    """
    rho = _compute_correlation(_rank_values(x), _rank_values(y))
    return fisher_interval(rho, len(x) - lost, variance_factor=1 + rho**2 / 2)._replace(n=len(x))


def rank_correlation(frame: pl.DataFrame, first: str, second: str, cells: Sequence[str]) -> Interval | None:
    """Spearman's rho between two columns over all trials, both centred within the cells of other factors.

    Over trials of several seeds it is only descriptive, because trials of one seed are related; the test of a trend is
    that of `fit_slopes`. Each cell after the first costs a degree of freedom, and cells with a single pair are left
    out. None if one of the two columns does not vary.
    """
    if cells:
        frame = frame.filter(pl.len().over(cells) > 1)
    x, y = (
        np.round(centre_within_cells(frame, first, cells), 12),
        np.round(centre_within_cells(frame, second, cells), 12),
    )
    lost = frame.select(cells).n_unique() - 1 if cells and len(frame) else 0
    return spearman_correlation(x, y, lost) if x.any() and y.any() else None


def format_rank_correlation(rho: Interval, what: str = "trials") -> str:
    """The text `-0.91 [-0.96, -0.80] over 24 trials`, without brackets if there is no interval."""
    bounds = "" if rho.low is None else f" [{rho.low:.2f}, {rho.high:.2f}]"
    return f"{rho.estimate:.2f}{bounds} over {rho.n} {what}"


def _rank_values(values: np.ndarray) -> np.ndarray:
    return pl.Series(values).rank().to_numpy()


def _compute_correlation(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError(
            f"A correlation needs at least two different values of both, got {len(x)} pairs, "
            f"x in [{np.min(x, initial=np.inf)}, {np.max(x, initial=-np.inf)}]. Vary the factor, or run more trials."
        )
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
