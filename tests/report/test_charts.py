"""The charts show every column they should and compute nothing."""

import inspect
import re
from collections.abc import Iterator

import polars as pl
import pytest

from equistudy.analysis.trial_numbers import Score
from equistudy.report import charts
from equistudy.report.figures import Curve, LayerProfile, LearningCurve, Scatter
from equistudy.report.theme import render_svg
from equistudy.study.design import Factor
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study, table

FIGURES = [
    Curve(CORRELATION, x=WIDTH, color=CROP),
    Curve(CORRELATION, x=CROP, color=WIDTH),
    Curve(CORRELATION, x=CROP),
    LayerProfile(CORRELATION, color=WIDTH),
    LearningCurve("accuracy", color=CROP),
    Scatter(Score("test_accuracy"), CORRELATION, color=CROP),
]


def keys(node) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(key, str):
            yield key
        if isinstance(value, (dict, list)):
            yield from keys(value)


def marks(chart: dict) -> list[str]:
    return [layer["mark"]["type"] for layer in chart.get("layer", [chart])]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.title)
def test_charts_compute_nothing(figure):
    chart = figure.draw(figure.frame(table())).to_dict()
    computing = {"aggregate", "transform", "bin", "timeUnit", "stack", "impute"}
    assert not computing & set(keys(chart))
    assert chart["$schema"].endswith("json")


def test_numbers_have_a_line_and_a_band_and_categories_have_bars():
    over_numbers, over_categories = (figure.draw(figure.frame(table())).to_dict() for figure in FIGURES[:2])
    assert marks(over_numbers) == ["area", "circle", "line", "circle"]
    assert marks(over_categories) == ["rule", "circle", "circle"]
    x = over_numbers["layer"][0]["encoding"]["x"]
    assert (x["scale"]["type"], x["title"], x["axis"]["values"]) == ("log", "width (channels)", [4, 8, 16, 32])


@pytest.mark.parametrize("levels", [(30, 45, 60), (0.003, 0.01, 0.3), (1_000, 2_500, 10_000)])
def test_levels_under_an_axis_are_written_out(levels: tuple[float, ...]) -> None:
    """Where Vega chooses the digits it writes 50 for 45 between 30 and 60."""
    rows = {"turn": levels, "value": [0.5, 0.6, 0.7], "low": [0.4] * 3, "high": [0.8] * 3, "n": [3] * 3}
    frame = pl.DataFrame({**rows, "seed": [None] * 3}, schema_overrides={"seed": pl.Int64})
    drawn = render_svg(charts.draw_curve(frame, Factor("turn", levels), None, "value"))
    told = {text.replace(",", "") for text in re.findall(r"<text[^>]*>([^<]+)</text>", drawn)}
    assert {str(level) for level in levels} <= told


def test_categories_with_long_names_are_rows_and_the_names_are_broken():
    levels = ("ViT(depth=4, width=22, num_heads=2)", "ViT(depth=4, width=22, num_heads=2, positions=none)")
    model, frame = Factor("model", levels), FIGURES[2].frame(table())
    frame = frame.with_columns(
        model=pl.when(pl.col("augmentation") == "Crop").then(*map(pl.lit, levels[:1])).otherwise(pl.lit(levels[1]))
    )
    chart = charts.draw_points(frame, model, None, "value").to_dict()
    encoding = chart["layer"][0]["encoding"]
    assert encoding["y"]["field"] == "model"
    assert (encoding["x"]["field"], encoding["x2"]["field"]) == ("low", "high")
    assert '"positions=none)"' in encoding["y"]["axis"]["labelExpr"]
    assert chart["height"] > 2 * 26


def test_bands_hold_means_and_small_dots_hold_seeds():
    frame = FIGURES[0].frame(table())
    chart = FIGURES[0].draw(frame).to_dict()
    rows = [chart["datasets"][layer["data"]["name"]] for layer in chart["layer"]]
    assert [len(some) for some in rows] == [8, 24, 8, 8]
    assert {row["seed"] for row in rows[0]} == {None}
    facts = [tip["field"] for tip in chart["layer"][3]["encoding"]["tooltip"]]
    assert facts == ["width", "augmentation", "value", "low", "high", "n"]


def test_a_profile_joins_the_maps_and_leaves_the_vectors_apart():
    chart = FIGURES[3].draw(FIGURES[3].frame(table())).to_dict()
    line = chart["layer"][marks(chart).index("line")]
    assert {row["stage"] for row in chart["datasets"][line["data"]["name"]]} == {"stem", "stage1", "stage2"}
    assert line["encoding"]["strokeDash"]["scale"]["domain"] == ["trained", "untrained", "shuffled pairs"]
    seeds = chart["layer"][marks(chart).index("circle")]
    rows = chart["datasets"][seeds["data"]["name"]]
    assert {row["series"] for row in rows} == {"trained"}
    assert {row["seed"] for row in rows} == {0, 1, 2}


def test_many_stages_lie_on_the_relative_depth():
    frame = FIGURES[3].frame(table())
    many = pl.concat([frame.with_columns(stage=pl.col("stage") + str(i)) for i in range(3)])
    assert FIGURES[3].draw(many).to_dict()["layer"][0]["encoding"]["x"]["field"] == "stage_depth"


def test_levels_keep_the_order_of_the_factor_and_strangers_come_last():
    other = Factor("augmentation", levels=("Crop", "Flip"))
    chart = charts.draw_scatter(FIGURES[5].frame(table()), other, "x", "y").to_dict()
    assert chart["encoding"]["color"]["scale"]["domain"] == ["Crop", "NoAugmentation"]


def test_an_interval_far_longer_than_the_values_differ_is_cut():
    figure = FIGURES[0]
    frame = figure.frame(table())
    wide = frame.with_columns(low=pl.col("low") - 50, high=pl.col("high") + 50)
    low, high = figure.draw(wide).to_dict()["layer"][0]["encoding"]["y"]["scale"]["domain"]
    span = frame["value"].max() - frame["value"].min()
    assert high - low == pytest.approx(5 * span)
    whole = figure.draw(frame).to_dict()["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert whole == pytest.approx([frame["low"].min(), frame["high"].max()])


def test_values_without_an_interval_are_inside_the_plot():
    figure = FIGURES[0]
    frame = figure.frame(table())
    alone = frame["value"] == frame["value"].min()
    frame = frame.with_columns(low=pl.when(alone).then(None).otherwise(pl.col("value")))
    low, _ = figure.draw(frame).to_dict()["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low == pytest.approx(frame["value"].min())


def test_one_seed_is_drawn_without_interval():
    figure = FIGURES[0]
    assert figure.draw(figure.frame(table(study(num_seeds=1)))).to_dict()["layer"]


def test_charts_are_short():
    functions = [function for _, function in inspect.getmembers(charts, inspect.isfunction)]
    assert max(len(inspect.getsource(function).splitlines()) for function in functions) <= 30
