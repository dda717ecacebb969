"""Charts: map the columns of a frame to marks, without computing anything."""

from typing import Any

import altair as alt
import polars as pl

from equistudy.report.encodings import (
    build_label_expression,
    encode_color,
    encode_dashes,
    encode_values,
    is_crowded,
    list_tooltip_fields,
    order_levels,
    wrap_name,
)
from equistudy.report.theme import MUTED, VERDICT_COLORS
from equistudy.study.design import Factor

__all__ = [
    "draw_angle_curves",
    "draw_curve",
    "draw_effects",
    "draw_fitted_scatter",
    "draw_learning_curve",
    "draw_phase_curves",
    "draw_points",
    "draw_profile",
    "draw_scatter",
]

MAX_NAMES = 12  # names of levels or stages that fit under an axis
PICTURE_SIZE = 44  # pixels per side
LINE, THIN, BAND, DOT, SEED = 2.0, 1.2, 0.15, 52, 15
ROW, ROWS_WIDTH = 26, 300  # pixels per row, and of the plot beside the names
NUMBER_FORMAT = ".6~r"  # for numbers under an axis; without the 6, Vega rounds 45 between 30 and 60 to 50
CLAIM_LINE_LENGTH = 30  # letters per line of a claim
LABEL_ANGLE = -35  # degrees, for the names of many stages
QUARTER_TURNS = [0, 90, 180, 270, 360]
PANELS_BESIDE, PANEL = 2, {"width": 230, "height": 150}


def draw_curve(frame: pl.DataFrame, over: Factor, color: Factor | None, title: str) -> alt.TopLevelMixin:
    """Means over a numeric factor: band, line and dots, with small dots for the seeds."""
    levels = sorted(set(frame[over.name].drop_nulls()))
    scale = alt.Scale(type="log" if over.log else "linear", zero=False, nice=False, padding=14)
    axis = alt.Axis(values=levels, format=NUMBER_FORMAT) if len(levels) <= MAX_NAMES else alt.Axis(format=NUMBER_FORMAT)
    base = alt.Chart().encode(
        x=alt.X(f"{over.name}:Q", title=over.title, scale=scale, axis=axis), **encode_color(color, frame)
    )
    value, bounds = encode_values(frame, title)
    means, seeds = _split_seed_rows(frame)
    return alt.layer(
        base.mark_area(opacity=BAND, clip=True).encode(**bounds).properties(data=means),
        base.mark_circle(size=SEED, opacity=0.6).encode(**value, tooltip=["seed", "value"]).properties(data=seeds),
        base.mark_line(strokeWidth=LINE).encode(**value).properties(data=means),
        base.mark_circle(size=DOT, opacity=1)
        .encode(**value, tooltip=list_tooltip_fields(over, color))
        .properties(data=means),
    )


def _split_seed_rows(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Splits a frame into the rows of means and the rows of seeds."""
    return frame.filter(pl.col("seed").is_null()), frame.filter(pl.col("seed").is_not_null())


def draw_points(frame: pl.DataFrame, over: Factor, color: Factor | None, title: str) -> alt.TopLevelMixin:
    """Means over categories: dots with error bars, side by side in their colours, with small dots for the seeds.

    Categories are on the x axis if their names fit there, and otherwise in rows with the names on the left.
    """
    levels = order_levels(over, frame)
    rows = is_crowded([str(level) for level in levels])
    colors = [] if color is None else order_levels(color, frame)
    base = alt.Chart().encode(**_place_categories(over, levels, color, colors, rows), **encode_color(color, frame))
    value, bounds = encode_values(frame, title, "x" if rows else "y")
    means, seeds = _split_seed_rows(frame)
    layers = alt.layer(
        base.mark_rule(strokeWidth=LINE, clip=True).encode(**bounds).properties(data=means),
        base.mark_circle(size=SEED, opacity=0.6).encode(**value, tooltip=["seed", "value"]).properties(data=seeds),
        base.mark_circle(size=DOT, opacity=1)
        .encode(**value, tooltip=list_tooltip_fields(over, color))
        .properties(data=means),
    )
    if not rows:
        return layers.properties(height=260)
    lines = max(len(colors), *(len(wrap_name(str(level))) for level in levels))
    return layers.properties(height=len(levels) * ROW * max(1.0, 0.75 * lines), width=ROWS_WIDTH)


def _place_categories(
    over: Factor, levels: list[Any], color: Factor | None, colors: list[Any], rows: bool
) -> dict[str, Any]:
    """The encodings of the position of a category, and of the offset of its colours."""
    if rows:
        names = alt.Axis(
            labelExpr=build_label_expression([str(level) for level in levels]), labelLimit=260, grid=True, title=None
        )
        place: dict[str, Any] = {"y": alt.Y(f"{over.name}:O", sort=levels, axis=names)}
    else:
        place = {"x": alt.X(f"{over.name}:O", sort=levels, title=over.title)}
    if color is None:
        return place
    offset = (alt.YOffset if rows else alt.XOffset)(f"{color.name}:O", sort=colors)
    return {**place, "yOffset" if rows else "xOffset": offset}


def draw_profile(frame: pl.DataFrame, color: Factor | None, title: str, series: list[str]) -> alt.TopLevelMixin:
    """Stages from left to right: a solid line for the first series, thin dashes for references, dots for vectors."""
    stages = frame["stage"].unique(maintain_order=True).to_list()
    axis = alt.Axis(labelAngle=LABEL_ANGLE) if is_crowded(stages) else alt.Axis()
    x = alt.X("stage:O", sort=stages, title="stage", axis=axis)
    if len(stages) > MAX_NAMES:
        x = alt.X("stage_depth:Q", title="relative depth", scale=alt.Scale(nice=False))
    widths = alt.Scale(domain=series, range=[LINE, THIN, THIN, THIN][: len(series)])
    base = alt.Chart().encode(x=x, **encode_color(color, frame))
    value, bounds = encode_values(frame, title)
    means, seeds = _split_seed_rows(frame)
    trained = means.filter(series=series[0])
    maps, vectors = trained.filter(~pl.col("vector")), trained.filter(pl.col("vector"))
    width = alt.StrokeWidth("series:N", scale=widths, legend=None)
    lines = base.mark_line().encode(**value, **encode_dashes("series", series), strokeWidth=width)
    dots = base.mark_circle(size=DOT, opacity=1)
    return alt.layer(
        base.mark_area(opacity=BAND, clip=True).encode(**bounds).properties(data=maps),
        lines.properties(data=means.filter(~pl.col("vector"))),
        base.mark_circle(size=SEED, opacity=0.6).encode(**value, tooltip=["seed", "value"]).properties(data=seeds),
        base.mark_rule(strokeWidth=LINE, clip=True).encode(**bounds).properties(data=vectors),
        dots.encode(**value, tooltip=["stage", *list_tooltip_fields(color)]).properties(data=trained),
    )


def draw_effects(frame: pl.DataFrame, unit: str) -> alt.TopLevelMixin:
    """One row per claim with its effect, interval and claimed bound; colour and shape encode the verdict."""
    names, statuses = frame["claim"].to_list(), list(VERDICT_COLORS)
    words = alt.Axis(labelExpr=build_label_expression(names, CLAIM_LINE_LENGTH), labelLimit=320, grid=False, title=None)
    numbers = alt.Axis(grid=True, tickCount=5)
    place = alt.Y("claim:N", sort=names, axis=words)
    tones = alt.Scale(domain=statuses, range=list(VERDICT_COLORS.values()))
    fills = alt.Scale(
        domain=statuses, range=[VERDICT_COLORS["supported"], VERDICT_COLORS["contradicted"], "transparent"]
    )
    forms = alt.Scale(domain=statuses, range=["circle", "cross", "circle"])
    color, fill = alt.Color("status:N", scale=tones, legend=None), alt.Fill("status:N", scale=fills, legend=None)
    scale = alt.Scale(zero=False, nice=True, padding=8)
    value, low, bound = (
        alt.X(f"{name}:Q", title=unit, scale=scale, axis=numbers) for name in ("value", "low", "bound")
    )
    told = ["claim", "status", "value", "low", "high", "n"]
    base = alt.Chart(frame).encode(y=place)
    claimed = alt.Chart(frame.filter(pl.col("bound").is_not_null())).encode(y=place, x=bound)
    dots = base.mark_point(size=70, strokeWidth=LINE, opacity=1)
    height = ROW * max(1.0, 0.72 * max(len(wrap_name(name, CLAIM_LINE_LENGTH)) for name in names))
    return alt.layer(
        claimed.mark_tick(color=MUTED, thickness=1.5, size=20),
        base.mark_rule(strokeWidth=LINE).encode(x=low, x2="high", color=color),
        dots.encode(
            x=value, color=color, fill=fill, shape=alt.Shape("status:N", scale=forms, legend=None), tooltip=told
        ),
    ).properties(height=len(names) * height, width=ROWS_WIDTH)


def draw_learning_curve(
    frame: pl.DataFrame, color: Factor | None, title: str, series: tuple[str, list[str]]
) -> alt.TopLevelMixin:
    """A line with a band over the epochs for each series, given as a column and its values; dashes tell them apart."""
    epochs = alt.X("epoch:Q", title="epoch", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickMinStep=1))
    value, bounds = encode_values(frame, title)
    base = alt.Chart(frame).encode(x=epochs, **encode_color(color, frame))
    return alt.layer(
        base.mark_area(opacity=BAND, clip=True).encode(**bounds, detail=f"{series[0]}:N"),
        base.mark_line(strokeWidth=LINE).encode(**value, **encode_dashes(*series)),
    )


def draw_angle_curves(
    frame: pl.DataFrame, color: Factor | None, panels: Factor | None, title: str
) -> alt.TopLevelMixin:
    """A line with a band over the angle, with one panel per level on common scales."""
    angle = alt.X(
        "angle:Q", title="degrees", scale=alt.Scale(domain=[0, 360], nice=False), axis=alt.Axis(values=QUARTER_TURNS)
    )
    return _draw_panels(frame, angle, (color, panels), title)


def draw_phase_curves(
    frame: pl.DataFrame, color: Factor | None, panels: Factor | None, title: str
) -> alt.TopLevelMixin:
    """A line with a band over the shift, and a dot where it takes cells to cells, with one panel per level."""
    shift = alt.X(
        "shift:Q", title="pixels", scale=alt.Scale(zero=False, nice=False, padding=8), axis=alt.Axis(tickMinStep=1)
    )
    return _draw_panels(frame, shift, (color, panels), title, dotted="aligned")


def _draw_panels(
    frame: pl.DataFrame, x: alt.X, by: tuple[Factor | None, Factor | None], title: str, dotted: str | None = None
) -> alt.TopLevelMixin:
    """Lines with bands coloured by one factor, with one panel per level of the other, and dots at marked rows."""
    value, bounds = encode_values(frame, title)
    color, panels = by
    charts = []
    for level in [None] if panels is None else order_levels(panels, frame):
        shown = frame if panels is None else frame.filter(pl.col(panels.name) == level)
        base = alt.Chart(shown).encode(x=x, **encode_color(color, frame))
        layers = alt.layer(
            base.mark_area(opacity=BAND, clip=True).encode(**bounds),
            base.mark_line(strokeWidth=LINE).encode(
                **value, tooltip=[x.shorthand.partition(":")[0], *list_tooltip_fields(color)]
            ),
        )
        if dotted is not None:
            layers += base.mark_circle(size=DOT, opacity=1).encode(**value).transform_filter(alt.datum[dotted])
        charts.append(layers if panels is None else layers.properties(**PANEL, title=f"{panels.name} {level}"))
    return charts[0] if panels is None else alt.concat(*charts, columns=PANELS_BESIDE)


def draw_scatter(frame: pl.DataFrame, color: Factor | None, x: str, y: str) -> alt.TopLevelMixin:
    """One dot per trial."""
    told = [name for name in frame.columns if name != "trial"]
    scale = alt.Scale(zero=False)
    return (
        alt.Chart(frame)
        .mark_circle(size=DOT, opacity=0.8)
        .encode(
            x=alt.X("x_value:Q", title=x, scale=scale),
            y=alt.Y("y_value:Q", title=y, scale=scale),
            tooltip=told,
            **encode_color(color, frame),
        )
    )


def draw_fitted_scatter(frame: pl.DataFrame, color: Factor | None, x: str, y: str) -> alt.TopLevelMixin:
    """One dot per row, and a line through the fitted values of each colour."""
    scale = alt.Scale(zero=False)
    base = alt.Chart(frame).encode(x=alt.X("x:Q", title=x, scale=scale), **encode_color(color, frame))
    lines = base.mark_line(strokeWidth=LINE, opacity=0.5).encode(y=alt.Y("fitted:Q", title=y, scale=scale))
    dots = base.mark_circle(size=DOT, opacity=0.9).encode(y=alt.Y("y:Q", title=y, scale=scale), tooltip=frame.columns)
    return alt.layer(lines, dots)


def draw_pictures(frame: pl.DataFrame, rows: Factor) -> alt.TopLevelMixin:
    """Small pictures side by side, one row per level."""
    levels = frame.sort("row")["level"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(frame)
        .mark_image(width=PICTURE_SIZE, height=PICTURE_SIZE)
        .encode(
            x=alt.X("place:O", axis=None),
            y=alt.Y("level:N", sort=levels, title=rows.title, axis=alt.Axis(grid=False)),
            url="image:N",
            tooltip=["level", "moved"],
        )
        .properties(width=alt.Step(PICTURE_SIZE + 4), height=alt.Step(PICTURE_SIZE + 4))
    )
