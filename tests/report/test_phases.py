"""The curve over the shift against the rows that it is made from."""

from dataclasses import replace

import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.outcome import Outcome
from equistudy.analysis.table import StudyTable
from equistudy.report.phases import PhaseCurve
from equistudy.report.theme import render_svg
from tests.analysis.synthetic import CORRELATION, WIDTH, table

SHIFTS = {"dx=1": 1.0, "dy=3": 2.0}


def shifted() -> StudyTable:
    """The made-up results with two elements as shifts by 1 and 2 pixels."""
    data = table()
    shift = pl.col("element").replace_strict(SHIFTS)
    rows = data.measurement_rows.with_columns(magnitude=shift, grid_aligned=(shift % pl.col("stride")) == 0)
    return replace(data, measurement_rows=rows)


def test_each_stage_has_its_mean_and_interval_at_each_shift():
    data, figure = shifted(), PhaseCurve(CORRELATION)
    frame = figure.frame(data)
    assert frame.select("layer", "shift", "aligned").rows() == [
        ("stem", 1.0, True),
        ("stem", 2.0, True),
        ("stage1", 1.0, True),
        ("stage1", 2.0, True),
        ("stage2", 1.0, False),
        ("stage2", 2.0, True),
    ]
    rows = data.measurements.filter(element="dy=3", stage="stage2").group_by("seed").agg(pl.col("value").mean())
    low, high = stats.ttest_1samp(rows["value"], 0).confidence_interval(0.95)
    cell = frame.filter(layer="stage2", shift=2.0).row(0, named=True)
    assert (cell["value"], cell["low"], cell["high"]) == pytest.approx((rows["value"].mean(), low, high))
    assert figure.title == "translation correlation over the shift"
    assert figure.caption(frame) == (
        "Mean with 95 % t interval over 3 seeds. Dots: the shift is a multiple of the stride. Stride in pixels: "
        "stem 1, "
        "stage1 1, stage2 2."
    )


def test_named_vectors_are_shown_too():
    frame = PhaseCurve(Outcome(CORRELATION, stages=("logits",))).frame(shifted())
    assert frame["layer"].unique().to_list() == ["logits"]


@pytest.mark.parametrize(("color", "lines"), [(None, 3), (WIDTH, 12)])
def test_stages_are_colours_or_panels(color, lines):
    figure = PhaseCurve(CORRELATION, color)
    frame = figure.frame(shifted())
    drawn = render_svg(figure.draw(frame))
    assert drawn.count('aria-roledescription="line mark"') == lines
    assert drawn.count('aria-roledescription="circle"') == lines * 2 - lines // 3
    assert ("layer stem" in drawn) == (color is WIDTH)
