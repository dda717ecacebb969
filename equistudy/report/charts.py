"""The charts: columns of a frame become marks, and nothing is computed."""

import math
from typing import Any

import altair as alt
import polars as pl

from equistudy.report.theme import MUTED, palette
from equistudy.spec import label
from equistudy.study.design import Factor

__all__ = ["angle_curves", "curve", "fitted_scatter", "learning_curve", "points", "profile", "scatter"]

MOST_COLORS, LEGEND_COLUMNS = 5, 3  # entries of a legend in one row, and in each of several
MOST_NAMES = 12  # levels or stages that fit under an axis by name
LINE, BAND, DOT, SEED = 2.0, 0.15, 52, 15
QUARTER_TURNS = [0, 90, 180, 270, 360]
PANELS_BESIDE, PANEL = 2, {"width": 230, "height": 150}
DASHES = ([1, 0], [5, 3], [1.5, 2.5])


def curve(frame: pl.DataFrame, over: Factor, color: Factor | None, title: str) -> alt.TopLevelMixin:
    """Means over a numeric factor: band, line, dots; small dots for the seeds."""
    levels = sorted(set(frame[over.name].drop_nulls()))
    scale = alt.Scale(type="log" if over.log else "linear", zero=False, nice=False, padding=14)
    axis = alt.Axis(values=levels, format="~g") if len(levels) <= MOST_NAMES else alt.Axis(format="~g")
    base = alt.Chart().encode(
        x=alt.X(f"{over.name}:Q", title=over.title, scale=scale, axis=axis), **_color(color, frame)
    )
    value, bounds = _vertical(frame, title)
    means, seeds = frame.filter(pl.col("seed").is_null()), frame.filter(pl.col("seed").is_not_null())
    return alt.layer(
        base.mark_area(opacity=BAND, clip=True).encode(**bounds).properties(data=means),
        base.mark_circle(size=SEED, opacity=0.6).encode(**value, tooltip=["seed", "value"]).properties(data=seeds),
        base.mark_line(strokeWidth=LINE).encode(**value).properties(data=means),
        base.mark_circle(size=DOT, opacity=1).encode(**value, tooltip=_facts(over, color)).properties(data=means),
    )


def points(frame: pl.DataFrame, over: Factor, color: Factor | None, title: str) -> alt.TopLevelMixin:
    """Means over categories: bars and dots, side by side in their colours; small dots for the seeds."""
    x: dict[str, Any] = {"x": alt.X(f"{over.name}:O", title=over.title, sort=_levels(over, frame))}
    if color is not None:
        x["xOffset"] = alt.XOffset(f"{color.name}:O", sort=_levels(color, frame))
    base = alt.Chart().encode(**x, **_color(color, frame))
    value, bounds = _vertical(frame, title)
    means, seeds = frame.filter(pl.col("seed").is_null()), frame.filter(pl.col("seed").is_not_null())
    return alt.layer(
        base.mark_rule(strokeWidth=LINE, clip=True).encode(**bounds).properties(data=means),
        base.mark_circle(size=SEED, opacity=0.6).encode(**value, tooltip=["seed", "value"]).properties(data=seeds),
        base.mark_circle(size=DOT, opacity=1).encode(**value, tooltip=_facts(over, color)).properties(data=means),
    ).properties(height=260)


def profile(frame: pl.DataFrame, color: Factor | None, title: str, series: list[str]) -> alt.TopLevelMixin:
    """Stages from left to right: a line for the first series, thin dashes for the references, dots for vectors."""
    stages = frame["stage"].unique(maintain_order=True).to_list()
    x = alt.X("stage:O", sort=stages, title="stage")
    if len(stages) > MOST_NAMES:
        x = alt.X("stage_depth:Q", title="relative depth", scale=alt.Scale(nice=False))
    widths = alt.Scale(domain=series, range=[LINE, 1.2, 1.2][: len(series)])
    base = alt.Chart().encode(x=x, **_color(color, frame))
    value, bounds = _vertical(frame, title)
    trained = frame.filter(series=series[0])
    maps, vectors = trained.filter(~pl.col("vector")), trained.filter(pl.col("vector"))
    lines = base.mark_line().encode(
        **value,
        **_dashes("series", series),
        strokeWidth=alt.StrokeWidth("series:N", scale=widths, legend=None),
    )
    return alt.layer(
        base.mark_area(opacity=BAND, clip=True).encode(**bounds).properties(data=maps),
        lines.properties(data=frame.filter(~pl.col("vector"))),
        base.mark_rule(strokeWidth=LINE, clip=True).encode(**bounds).properties(data=vectors),
        base.mark_circle(size=DOT, opacity=1)
        .encode(**value, tooltip=["stage", *_facts(color)])
        .properties(data=trained),
    )


def learning_curve(frame: pl.DataFrame, color: Factor | None, title: str) -> alt.TopLevelMixin:
    """A line with its band over the epochs for each split; the splits differ by dashes."""
    epochs = alt.X("epoch:Q", title="epoch", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickMinStep=1))
    value, bounds = _vertical(frame, title)
    base = alt.Chart(frame).encode(x=epochs, **_color(color, frame))
    return alt.layer(
        base.mark_area(opacity=BAND, clip=True).encode(**bounds, detail="split:N"),
        base.mark_line(strokeWidth=LINE).encode(**value, **_dashes("split", sorted(set(frame["split"])))),
    )


def angle_curves(frame: pl.DataFrame, color: Factor | None, panels: Factor | None, title: str) -> alt.TopLevelMixin:
    """A line with its band around the circle of angles; a panel for each level, all on the same scales."""
    value, bounds = _vertical(frame, title)
    angle = alt.X(
        "angle:Q", title="degrees", scale=alt.Scale(domain=[0, 360], nice=False), axis=alt.Axis(values=QUARTER_TURNS)
    )
    charts = []
    for level in [None] if panels is None else _levels(panels, frame):
        shown = frame if panels is None else frame.filter(pl.col(panels.name) == level)
        base = alt.Chart(shown).encode(x=angle, **_color(color, frame))
        layers = alt.layer(
            base.mark_area(opacity=BAND, clip=True).encode(**bounds),
            base.mark_line(strokeWidth=LINE).encode(**value, tooltip=["angle", *_facts(color)]),
        )
        charts.append(layers if panels is None else layers.properties(**PANEL, title=f"{panels.name} {level}"))
    return charts[0] if panels is None else alt.concat(*charts, columns=PANELS_BESIDE)


def scatter(frame: pl.DataFrame, color: Factor | None, x: str, y: str) -> alt.TopLevelMixin:
    """A dot for each trial."""
    facts = [name for name in frame.columns if name != "trial"]
    scale = alt.Scale(zero=False)
    return (
        alt.Chart(frame)
        .mark_circle(size=DOT, opacity=0.8)
        .encode(
            x=alt.X("x_value:Q", title=x, scale=scale),
            y=alt.Y("y_value:Q", title=y, scale=scale),
            tooltip=facts,
            **_color(color, frame),
        )
    )


def fitted_scatter(frame: pl.DataFrame, color: Factor | None, x: str, y: str) -> alt.TopLevelMixin:
    """A dot for each row and a line through the fitted values of each colour."""
    scale = alt.Scale(zero=False)
    base = alt.Chart(frame).encode(x=alt.X("x:Q", title=x, scale=scale), **_color(color, frame))
    lines = base.mark_line(strokeWidth=LINE, opacity=0.5).encode(y=alt.Y("fitted:Q", title=y, scale=scale))
    dots = base.mark_circle(size=DOT, opacity=0.9).encode(y=alt.Y("y:Q", title=y, scale=scale), tooltip=frame.columns)
    return alt.layer(lines, dots)


def _vertical(frame: pl.DataFrame, title: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The y axis for values, and the two ends of their intervals on it."""
    y = {name: alt.Y(f"{name}:Q", title=title, scale=_window(frame)) for name in ("value", "low")}
    return {"y": y["value"]}, {"y": y["low"], "y2": "high"}


def _window(frame: pl.DataFrame) -> alt.Scale:
    """All values and, as far as they leave the values legible, all intervals: those of two seeds may be 13 s long."""
    lowest, highest = (float(value) for value in frame.select(pl.col("value").min(), high=pl.col("value").max()).row(0))
    room = 2 * (highest - lowest) or math.inf
    low, high = frame.select(pl.col("low").min(), pl.col("high").max()).row(0)
    bottom = max(lowest - room, lowest if low is None else min(low, lowest))  # some values may have no interval
    top = min(highest + room, highest if high is None else max(high, highest))
    return alt.Scale(zero=False, nice=True, domain=[bottom, top]) if bottom < top else alt.Scale(zero=False)


def _facts(*factors: Factor | None) -> list[str]:
    """What a tooltip says of a mean."""
    return [*(factor.name for factor in factors if factor is not None), "value", "low", "high", "n"]


def _levels(factor: Factor, frame: pl.DataFrame) -> list[Any]:
    """The levels in the order of the factor, and then those that only the frame has."""
    there = set(frame[factor.name].drop_nulls())
    known = [level if factor.numeric else label(level) for level in factor.levels]
    return [level for level in known if level in there] + sorted(there.difference(known))


def _color(factor: Factor | None, frame: pl.DataFrame) -> dict[str, Any]:
    """Ordered colours for numbers, far-apart ones for categories, one colour without a factor."""
    if factor is None:
        return {"color": alt.value(palette(1, ordered=False)[0])}
    levels = _levels(factor, frame)
    scale = alt.Scale(domain=levels, range=palette(len(levels), ordered=factor.numeric and len(levels) > 2))
    legend = alt.Legend(symbolOpacity=1, columns=LEGEND_COLUMNS if len(levels) > MOST_COLORS else alt.Undefined)
    return {"color": alt.Color(f"{factor.name}:O", title=factor.title, scale=scale, legend=legend)}


def _dashes(column: str, names: list[str]) -> dict[str, Any]:
    scale = alt.Scale(domain=names, range=list(DASHES[: len(names)]))
    legend = alt.Legend(symbolType="stroke", symbolStrokeColor=MUTED, symbolSize=400, symbolStrokeWidth=1.5)
    return {"strokeDash": alt.StrokeDash(f"{column}:N", title=None, scale=scale, legend=legend)}
