"""The theme of charts, and their rendering to SVG and PNG without a browser or a network."""

import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altair import TopLevelMixin
else:
    TopLevelMixin = Any

__all__ = ["GRID", "INK", "MUTED", "VERDICT_COLORS", "choose_colors", "inline_svg", "render_png", "render_svg"]

# Replaced by the page's own colours when a chart is part of a page, which may be dark.
INK, MUTED, GRID = "#22272e", "#66707b", "#e3e7eb"
VERDICT_COLORS = {"supported": "#0a7f4f", "contradicted": "#c0392b", "undecided": "#96690a"}
# The Okabe-Ito palette, distinguishable with all types of colour vision, ordered by contrast on white and on black.
CATEGORY_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D46", "#7A7A7A")
# For ordered levels: lightness increases with the level, and both ends are visible on white and on black.
ORDERED_COLORS = ("#4468c2", "#2487a8", "#37a877", "#8fb93c", "#dfa616")
PIXELS_PER_POINT = 2.0

_AXIS = {
    "labelColor": MUTED,
    "titleColor": INK,
    "labelFontSize": 12,
    "titleFontSize": 12.5,
    "titleFontWeight": "normal",
    "gridColor": GRID,
    "domainColor": MUTED,
    "tickColor": MUTED,
    "tickSize": 4,
    "labelPadding": 4,
}
CONFIG: dict[str, Any] = {
    "background": "white",
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "padding": 6,
    "view": {"stroke": None, "continuousWidth": 430, "continuousHeight": 260, "discreteWidth": 430},
    "axis": _AXIS,
    "axisX": {"grid": False, "titlePadding": 8, "labelAngle": 0, "labelFlush": False},
    "axisY": {"domain": False, "ticks": False, "tickCount": 5, "titleAngle": 0, "titleAlign": "left"}
    | {"titleAnchor": "end", "titleX": -34, "titleY": -12},
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "offset": 30,
        "symbolType": "circle",
        "titleOrient": "left",
        "titlePadding": 10,
    }
    | {"labelColor": INK, "titleColor": MUTED, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    | {"labelLimit": 400, "symbolStrokeWidth": 2, "layout": {"top": {"direction": "vertical", "anchor": "start"}}},
}


def choose_colors(count: int, ordered: bool) -> list[str]:
    """`count` colours: distinct ones for categories, which repeat after eight, or a scale for ordered levels."""
    if not ordered:
        return [CATEGORY_COLORS[i % len(CATEGORY_COLORS)] for i in range(count)]
    places = [i * (len(ORDERED_COLORS) - 1) / max(1, count - 1) for i in range(count)]
    return [_interpolate_color(ORDERED_COLORS, place) for place in places]


def _interpolate_color(colors: Sequence[str], place: float) -> str:
    """The colour at a fractional index, interpolated between its neighbours."""
    index = min(int(place), len(colors) - 2)
    ends = [[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors[index : index + 2]]
    mixed = [round(a + (b - a) * (place - index)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def render_svg(chart: TopLevelMixin) -> str:
    """The chart as SVG in this theme, on a white background; the user's own Altair settings are not changed."""
    import altair
    import vl_convert

    with altair.theme.enable("none"), altair.data_transformers.enable("default", max_rows=None):
        spec = chart.to_dict()
    version = ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return str(vl_convert.vegalite_to_svg(spec, vl_version=version, config=CONFIG))


def render_png(drawn: str) -> bytes:
    """An SVG as PNG, with two pixels per unit."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(drawn, scale=PIXELS_PER_POINT))


def inline_svg(drawn: str, name: str, description: str) -> str:
    """An SVG as part of a page: with the page's colours, native tooltips on its dots, and text for screen readers.

    `name` makes the ids of several drawings unique. Vega writes the values of each mark to `aria-label`; a copy in a
    `title` element is shown by browsers as a tooltip, without a script.
    """
    drawn = re.sub(r'(id="|url\(#)(?=\w)', rf"\g<1>{name}-", drawn)
    for variable, color in {"ink": INK, "muted": MUTED, "grid": GRID, **VERDICT_COLORS}.items():
        drawn = drawn.replace(f'"{color}"', f'"var(--{variable})"')
    drawn = drawn.replace('fill="white"/>', 'fill="none"/>', 1)
    drawn = re.sub(r"\d+\.\d{5,}(?=[;\"])", lambda number: f"{float(number[0]):.4g}", drawn)
    dot = r'(<path aria-label="([^"]*)"[^>]*aria-roledescription="(?:circle|point)"[^>]*?)/>'
    drawn = re.sub(dot, r"\1><title>\2</title></path>", drawn)
    label = html.escape(description, quote=True)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
