"""Names do not run into each other, and legends take the columns that fit."""

import altair as alt
import polars as pl
import pytest

from equistudy.report.encodings import (
    AXIS,
    LETTER,
    build_label_expression,
    encode_color,
    encode_dashes,
    encode_values,
    is_crowded,
    order_levels,
    wrap_name,
)
from equistudy.study.design import Factor

LONG = ("ResNet(depth=8, width=9)", "ViT(depth=4, width=22, num_heads=2, positions=none)", "MLPMixer(depth=4)")


def frame(names: tuple[str, ...]) -> pl.DataFrame:
    return pl.DataFrame({"model": names, "value": [0.5] * len(names), "low": 0.4, "high": 0.6})


@pytest.mark.parametrize("count", [2, 4, 8, 12])
def test_names_are_crowded_when_the_longest_does_not_fit_into_its_share(count):
    fitting = int(AXIS / count / LETTER) - 1
    assert not is_crowded(["x" * fitting] * count)
    assert is_crowded(["x"] * (count - 1) + ["x" * (fitting + 1)])


def test_nothing_is_not_crowded():
    assert not is_crowded([])


def test_a_long_name_is_broken_into_lines_and_nothing_of_it_is_lost():
    lines = wrap_name(LONG[1])
    assert len(lines) > 1
    assert max(map(len, lines)) <= 24
    assert " ".join(lines) == LONG[1]
    assert wrap_name("") == [""]
    assert wrap_name("RandomRotation(max_degrees=180)") == ["RandomRotation(max_degrees=180)"]
    assert build_label_expression(["a b"]) == '({"a b": ["a b"]})[datum.label]'


def test_a_legend_of_long_names_stands_in_one_column():
    legend = encode_color(Factor("model", LONG), frame(LONG))["color"].to_dict()["legend"]
    assert legend["columns"] == 1
    short = ("a", "b", "c")
    assert "columns" not in encode_color(Factor("model", short), frame(short))["color"].to_dict()["legend"]
    many = tuple("abcdefg")
    assert encode_color(Factor("model", many), frame(many))["color"].to_dict()["legend"]["columns"] == 3


def test_levels_that_the_factor_does_not_know_come_last():
    assert order_levels(Factor("model", LONG[:1]), frame(LONG)) == [LONG[0], LONG[2], LONG[1]]


def test_every_series_has_a_pattern_of_its_own():
    patterns = encode_dashes("series", ["a", "b", "c", "d"])["strokeDash"].to_dict()["scale"]["range"]
    assert len({tuple(pattern) for pattern in patterns}) == 4


def test_values_lie_on_the_axis_that_is_asked_for():
    value, bounds = encode_values(frame(LONG), "title", "x")
    assert isinstance(value["x"], alt.X)
    assert set(bounds) == {"x", "x2"}
