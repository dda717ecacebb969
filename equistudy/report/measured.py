"""The measurements of one network by stage: the numbers of a printed table, and a plot of layer profiles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from equistudy.measuring.measure import Measure
from equistudy.report.theme import render_png, render_svg
from equistudy.study.design import Factor

__all__ = ["average_by_magnitude", "check_picture", "draw_profiles", "write_picture"]

SUFFIXES = (".svg", ".png", ".html")
SERIES_NAMES = {"value": "measured", "untrained": "untrained", "floor": "shuffled pairs"}


def average_by_magnitude(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of one measure, one per stage and magnitude of the elements, in the order of the network.

    Values are means over the `n` elements of equal magnitude; `error` is the larger side of their widest interval.
    """
    half = pl.max_horizontal(pl.col("high") - pl.col("value"), pl.col("value") - pl.col("low"))
    named = rows.with_columns(error=half, magnitude=pl.col("magnitude").fill_null(0.0))
    means = [pl.col(name).mean() for name in ("value", "low", "high", "floor", "untrained")]
    one = [pl.col(name).first() for name in ("stride", "depth")]
    grouped = named.sort("depth", "magnitude", maintain_order=True).group_by("stage", "magnitude", maintain_order=True)
    return grouped.agg(*means, *one, pl.col("error").max(), pl.col("grid_aligned").all(ignore_nulls=False), n=pl.len())


def draw_profiles(rows: pl.DataFrame, measures: Sequence[Measure]) -> Any:
    """A layer profile for each measure with more than one stage, stacked vertically."""
    import altair as alt

    charts = [_draw_profile(rows.filter(measure_id=measure.id), measure) for measure in measures]
    drawn = [chart for chart in charts if chart is not None]
    if not drawn:
        raise ValueError(
            "A plot needs a measure with at least two stages, got none. "
            "Check which measures were skipped, or add a --measure."
        )
    return alt.vconcat(*drawn).resolve_scale(color="independent", strokeDash="independent", strokeWidth="independent")


def _draw_profile(rows: pl.DataFrame, measure: Measure) -> Any:
    """Lines over the stages, with one colour per magnitude of the elements and dashes for references."""
    from equistudy.report.charts import draw_profile

    if rows["stage"].n_unique() < 2:
        return None
    frame = average_by_magnitude(rows)
    group = getattr(measure, "group", None)
    sizes = tuple(frame["magnitude"].unique().sort())
    color = Factor("size", levels=sizes, unit=group.unit) if group is not None and len(sizes) > 1 else None
    names = {name: text for name, text in SERIES_NAMES.items() if frame[name].is_not_null().any()}
    shown = pl.concat(
        frame.filter(pl.col(name).is_not_null()).select(
            "stage",
            "n",
            size="magnitude",
            stage_depth="depth",
            vector=pl.col("stride").is_null(),
            series=pl.lit(text),
            value=name,
            low="low" if name == "value" else pl.lit(None, pl.Float64),
            high="high" if name == "value" else pl.lit(None, pl.Float64),
            seed=pl.lit(None, pl.Int64),
        )
        for name, text in names.items()
    )
    return draw_profile(shown, color, measure.title, list(names.values())).properties(title=str(group or ""))


def write_picture(rows: pl.DataFrame, measures: Sequence[Measure], path: Path) -> None:
    """Writes the profiles as SVG, PNG, or a self-contained HTML page."""
    check_picture(path)
    drawn = render_svg(draw_profiles(rows, measures))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        path.write_bytes(render_png(drawn))
    elif path.suffix == ".html":
        page = f'<!doctype html><meta charset="utf-8"><title>Equivariance by layer</title>{drawn}\n'
        path.write_text(page, encoding="utf-8")
    else:
        path.write_text(drawn, encoding="utf-8")


def check_picture(path: Path) -> None:
    """Raises ValueError for an unsupported file type."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"--plot must end in {', '.join(SUFFIXES)}, got {path}. Use for example --plot layers.svg.")
