"""Seeds are the replicates: every estimate is computed once per seed, and its interval is over the seeds."""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from equistudy.analysis.intervals import t_interval

__all__ = ["average_per_seed", "summarise_over_seeds"]


def average_per_seed(frame: pl.DataFrame, by: Sequence[str], over: Sequence[str], value: str = "value") -> pl.DataFrame:
    """The mean over the `over` cells: one row per `by` cell and seed, with the columns `by`, seed and `value`.

    A seed is used only if it has every `over` cell that any seed of that `by` cell has, because means over different
    cells are not comparable. Trials of one seed share their random streams, so they are averaged instead of counted as
    replicates.
    """
    # A trial may occur in one cell several times, for factors that this design does not name; it counts once.
    means = frame.group_by(*by, *over, "seed", maintain_order=True).agg(pl.col(value).mean())
    cells = pl.struct(over) if over else pl.lit(value=True)
    whole = pl.lit(0).alias("whole")
    needed = means.group_by(*by, whole, maintain_order=True).agg(needed=cells.n_unique())
    seeds = means.group_by(*by, "seed", whole, maintain_order=True).agg(pl.col(value).mean(), cells=cells.n_unique())
    complete = seeds.join(needed, on=[*by, "whole"], nulls_equal=True, maintain_order="left")
    return complete.filter(pl.col("cells") == pl.col("needed")).select(*by, "seed", value)


def summarise_over_seeds(
    seeds: pl.DataFrame, by: Sequence[str], value: str = "value", limits: tuple[float, float] = (-math.inf, math.inf)
) -> pl.DataFrame:
    """The mean, the t interval (low, high) and n for each `by` cell of a frame with one row per seed.

    The interval is clipped to `limits`, because a t interval of correlations near 1 can exceed 1.
    """
    rows = []
    for key, group in seeds.group_by(*by, pl.lit(0).alias("whole"), maintain_order=True):
        interval = t_interval(group[value].to_numpy())
        low, high = (None if end is None else min(max(end, limits[0]), limits[1]) for end in interval[1:3])
        rows.append([*key[:-1], interval.estimate, low, high, interval.n])
    columns: dict[str, Any] = {name: seeds.schema[name] for name in by}
    columns |= {value: pl.Float64, "low": pl.Float64, "high": pl.Float64, "n": pl.Int64}
    return pl.DataFrame(rows, schema=columns, orient="row")
