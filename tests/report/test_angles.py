"""The curve over the angle against the rows that it is made from."""

from dataclasses import replace

import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.table import StudyTable
from equistudy.report.angles import AngleCurve
from equistudy.report.theme import render_svg
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, table

ANGLES = {"dx=1": 0.0, "dy=3": 90.0}


def turned() -> StudyTable:
    """The made-up results with two elements as turns by 0 and 90 degrees, at one stage."""
    data = table()
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
