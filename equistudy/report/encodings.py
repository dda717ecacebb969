"""Encodings of columns as positions, colours and dashes, with scales and axes that stay legible."""

import json
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from equistudy.report.theme import MUTED, choose_colors
from equistudy.spec import format_label
from equistudy.study.design import Factor

__all__ = [
    "build_label_expression",
    "encode_color",
    "encode_dashes",
    "encode_values",
    "is_crowded",
    "list_tooltip_fields",
    "order_levels",
    "wrap_name",
]

MOST_COLORS, LEGEND_COLUMNS = 5, 3  # most entries of a legend in one row, and columns of a longer one
# Pixels for the names under an axis, pixels per letter, and letters per line of a name beside a row.
AXIS, LETTER, ROW_LETTERS = 430, 7.0, 24
SYMBOL_WIDTH = 34  # pixels of a legend entry without its name
DASHES = ([1, 0], [5, 3], [1.5, 2.5], [7, 2, 1.5, 2])


def order_levels(factor: Factor, frame: pl.DataFrame) -> list[Any]:
    """The levels in the order of the factor, followed by those that only the frame has."""
    there = set(frame[factor.name].drop_nulls())
    known = [level if factor.is_numeric else format_label(level) for level in factor.levels]
    return [level for level in known if level in there] + sorted(there.difference(known))


def list_tooltip_fields(*factors: Factor | None) -> list[str]:
    """The fields in the tooltip of a mean."""
    return [*(factor.name for factor in factors if factor is not None), "value", "low", "high", "n"]


def is_crowded(names: Sequence[str]) -> bool:
    """Whether names side by side under an axis would overlap."""
    return len(names) * LETTER * (max(map(len, names), default=0) + 1) > AXIS


def wrap_name(name: str, letters: int = ROW_LETTERS) -> list[str]:
    """A name broken into lines, as it is shown beside a row."""
    return textwrap.wrap(name, letters, break_long_words=False) or [name]


def build_label_expression(names: Sequence[str], letters: int = ROW_LETTERS) -> str:
    """The Vega expression with which an axis breaks long names into lines."""
    return f"({json.dumps({name: wrap_name(name, letters) for name in names})})[datum.label]"


def encode_values(frame: pl.DataFrame, title: str, channel: str = "y") -> tuple[dict[str, Any], dict[str, Any]]:
    """The encodings of values, and of the ends of their intervals."""
    kind = alt.X if channel == "x" else alt.Y
    axis = alt.Axis(grid=True, tickCount=5)
    value, low = (kind(f"{name}:Q", title=title, scale=_choose_scale(frame), axis=axis) for name in ("value", "low"))
    return {channel: value}, {channel: low, f"{channel}2": "high"}


def _choose_scale(frame: pl.DataFrame) -> alt.Scale:
    """A scale with all values and, as far as values stay legible, all intervals; those of two seeds can be huge."""
    lowest, highest = (float(value) for value in frame.select(pl.col("value").min(), high=pl.col("value").max()).row(0))
    room = 2 * (highest - lowest) or math.inf
    low, high = frame.select(pl.col("low").min(), pl.col("high").max()).row(0)
    bottom = max(lowest - room, lowest if low is None else min(low, lowest))  # some values may have no interval
    top = min(highest + room, highest if high is None else max(high, highest))
    return alt.Scale(zero=False, nice=True, domain=[bottom, top]) if bottom < top else alt.Scale(zero=False)


def encode_color(factor: Factor | None, frame: pl.DataFrame) -> dict[str, Any]:
    """Ordered colours for numbers, distinct colours for categories, and one colour without a factor."""
    if factor is None:
        return {"color": alt.value(choose_colors(1, ordered=False)[0])}
    levels = order_levels(factor, frame)
    scale = alt.Scale(domain=levels, range=choose_colors(len(levels), ordered=factor.is_numeric and len(levels) > 2))
    legend = alt.Legend(symbolOpacity=1, columns=_choose_legend_columns([str(level) for level in levels]))
    return {"color": alt.Color(f"{factor.name}:O", title=factor.title, scale=scale, legend=legend)}


def _choose_legend_columns(names: Sequence[str]) -> Any:
    """The number of columns of a legend, which is one row if its entries fit."""
    if len(names) <= MOST_COLORS and sum(LETTER * len(name) + SYMBOL_WIDTH for name in names) <= AXIS:
        return alt.Undefined
    widest = max(LETTER * len(name) + SYMBOL_WIDTH for name in names)
    return max(1, min(LEGEND_COLUMNS, int(AXIS // widest)))


def encode_dashes(column: str, names: Sequence[str]) -> dict[str, Any]:
    """A dash pattern for each name; the first is solid."""
    scale = alt.Scale(domain=list(names), range=list(DASHES[: len(names)]))
    symbols: dict[str, Any] = {
        "symbolType": "stroke",
        "symbolStrokeColor": MUTED,
        "symbolSize": 400,
        "symbolStrokeWidth": 1.5,
    }
    legend = alt.Legend(**symbols, columns=_choose_legend_columns(names))
    return {"strokeDash": alt.StrokeDash(f"{column}:N", title=None, scale=scale, legend=legend)}
