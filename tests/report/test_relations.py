"""The frames against the numbers that they are made from, on a made-up zoo.

The curve over the angle against the rows that it is made from.
"""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.table import StudyTable
from equistudy.report.charts import draw_fitted_scatter
from equistudy.report.methods import describe_method
from equistudy.report.relations import AngleCurve, DepthProfile, RankScatter
from equistudy.report.theme import render_svg
from tests.analysis import synthetic
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH
from tests.analysis.test_correlations import FAMILY, NETWORK, NETWORKS, PROTOCOL, rising, table, zoo

INSIDE = replace(zoo().claims[0].test, centred=FAMILY)


def test_a_rank_scatter_has_a_dot_for_each_network_and_one_slope_for_all_families():
    figure = RankScatter(INSIDE)
    frame = figure.frame(table(zoo(), rising, absent=NETWORKS[:1]))
    assert len(frame) == 23
    assert frame["x"].to_list() == sorted(frame["x"].to_list())
    expected = {name: rising(name, "common") for name in NETWORKS}
    assert frame["y"].to_list() == pytest.approx([expected[name] for name in frame["network"]])
    design = np.column_stack(
        [frame["x"].to_numpy(), *(frame["family"].to_numpy() == family for family in FAMILY.levels)]
    ).astype(float)
    coefficients = np.linalg.lstsq(design, frame["y"].to_numpy(), rcond=None)[0]
    assert frame["fitted"].to_list() == pytest.approx(list(design @ coefficients))
    caption = figure.caption(frame)
    assert caption.startswith(
        "Each dot is a network. Lines: least-squares fit with one slope for all and an intercept for each family."
    )
    assert "pooled 0." in caption
    assert caption.endswith("over 23 levels.")
    assert "within each family" in caption
    assert figure.title == "translation correlation against top-1, at protocol common"
    assert figure.factors == ("network", "family", "protocol")


def test_a_rank_scatter_without_families_has_one_line():
    figure = RankScatter(zoo().claims[0].test)
    frame = figure.frame(table(zoo(), rising))
    slope, intercept = np.polyfit(frame["x"].to_numpy(), frame["y"].to_numpy(), 1)
    assert frame["fitted"].to_list() == pytest.approx([intercept + slope * x for x in frame["x"]])
    assert "family" not in figure.caption(frame)


def test_networks_without_accuracy_leave_nothing_to_draw():
    study = zoo(("conv", "vit"))
    assert RankScatter(INSIDE).frame(table(study, rising)).is_empty()


def test_a_depth_profile_is_the_mean_over_networks_in_each_third():
    figure = DepthProfile(CORRELATION, over=NETWORK, color=FAMILY, within=((PROTOCOL, "common"),))
    data = table(zoo(), rising)
    depths = {"stage1": 0.1, "stage2": 0.5}  # of its last map
    rows = data.measurement_rows
    data = replace(data, measurement_rows=rows.with_columns(depth=rows["stage"].replace_strict(depths)))
    frame = figure.frame(data)
    assert frame["depth"].to_list() == ["early"] * 3 + ["late"] * 3
    assert frame["n"].to_list() == [8] * 6
    conv = np.array([rising(name, "common") for name in NETWORKS[:8]])
    early = frame.filter(depth="early", family="conv")
    assert early["value"].item() == pytest.approx(conv.mean() + 0.1)
    half = 2.364624 * conv.std(ddof=1) / np.sqrt(8)  # Student's t for 7 degrees of freedom
    assert (early["high"] - early["value"]).item() == pytest.approx(half)
    assert "over 8 levels of network" in figure.caption(frame)
    assert figure.title == "translation correlation by relative depth, at protocol common"
    assert figure.factors == ("network", "family", "protocol")


@pytest.mark.parametrize("color", [FAMILY, None])
def test_charts_show_every_value(color):
    claim = replace(INSIDE, centred=color)
    frame = RankScatter(claim).frame(table(zoo(), rising))
    drawn = render_svg(draw_fitted_scatter(frame, color, "top-1", "equivariance"))
    assert drawn.count('aria-roledescription="circle"') == 24
    assert drawn.count('aria-roledescription="line mark"') == (3 if color else 1)
    profile = DepthProfile(CORRELATION, over=NETWORK, color=color)
    data = table(zoo(), rising)
    data = replace(data, measurement_rows=data.measurement_rows.with_columns(depth=0.0))
    drawn = render_svg(profile.draw(profile.frame(data)))
    assert drawn.count('aria-roledescription="circle"') == (3 if color else 1)


def test_the_method_says_what_the_replicates_are():
    *_, statistics = describe_method(zoo(), table(zoo(), rising))
    assert statistics.startswith("Claims are rank correlations, whose replicates are the levels of a factor")


ANGLES = {"dx=1": 0.0, "dy=3": 90.0}


def turned() -> StudyTable:
    """The made-up results with two elements as turns by 0 and 90 degrees, at one stage."""
    data = synthetic.table()
    rows = data.measurement_rows.filter(stage="stem")
    return replace(data, measurement_rows=rows.with_columns(magnitude=rows["element"].replace_strict(ANGLES)))


def test_each_angle_has_its_mean_and_interval_over_the_seeds():
    data, figure = turned(), AngleCurve(CORRELATION, color=CROP, panels=WIDTH)
    frame = figure.frame(data)
    assert frame["angle"].to_list() == [0.0, 90.0] * 8
    rows = data.measurements.filter(element="dy=3", width=16, augmentation="Crop").sort("seed")
    low, high = stats.ttest_1samp(rows["value"], 0).confidence_interval(0.95)
    cell = frame.filter(angle=90.0, width=16, augmentation="Crop").row(0, named=True)
    assert (cell["value"], cell["low"], cell["high"]) == pytest.approx((rows["value"].mean(), low, high))
    assert figure.title == "translation correlation over the angle by augmentation and width"
    assert figure.caption(frame).startswith("Mean with 95 % t interval over 3 seeds. Angles are counter-clockwise")


@pytest.mark.parametrize(("panels", "lines"), [(WIDTH, 8), (None, 2)])
def test_every_panel_has_a_line_for_each_colour(panels, lines):
    figure = AngleCurve(CORRELATION, color=CROP, panels=panels)
    frame = figure.frame(turned())
    drawn = render_svg(figure.draw(frame))
    assert drawn.count('aria-roledescription="line mark"') == lines
    assert drawn.count('aria-roledescription="area mark"') == lines
    assert all(f"width {width}" in drawn for width in (WIDTH.levels if panels else ()))


def test_rows_without_an_angle_leave_nothing_to_draw():
    data = turned()
    rows = data.measurement_rows.with_columns(magnitude=pl.lit(None, dtype=pl.Float64))
    assert AngleCurve(CORRELATION).frame(replace(data, measurement_rows=rows)).is_empty()
