"""What all claims about effects have in common: directions, margins, and levels that exist."""

import math
from dataclasses import replace

import pytest

from equistudy.analysis.claims import Contrast, Trend, Value
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH


@pytest.mark.parametrize(
    ("expected", "margin", "than", "claimed"),
    [
        ("increasing", 0.0, 0.0, (0.0, math.inf)),
        ("decreasing", 0.1, 0.0, (-math.inf, -0.1)),
        ("unchanged", 0.1, 0.5, (0.4, 0.6)),
        ("increasing", 0.1, 0.5, (0.6, math.inf)),
    ],
)
def test_where_the_effect_lies_if_the_claim_is_true(expected, margin, than, claimed):
    assert Value(CORRELATION, than=than, expected=expected, margin=margin).claimed_range == claimed
    if than == 0:
        assert Trend(CORRELATION, over=WIDTH, expected=expected, margin=margin).claimed_range == claimed


@pytest.mark.parametrize(("expected", "margin"), [("unchanged", 0.0), ("increasing", -1.0), ("unchanged", math.inf)])
def test_impossible_margins(expected, margin):
    with pytest.raises(ValueError, match=r"margin must be finite.*got margin=.*Set it to the smallest effect"):
        Trend(CORRELATION, over=WIDTH, expected=expected, margin=margin)


def test_bad_claims_are_refused_when_they_are_written():
    with pytest.raises(ValueError, match="expected must be increasing, decreasing or unchanged, got expected='down'"):
        Trend(CORRELATION, over=WIDTH, expected="down")
    with pytest.raises(ValueError, match=r"at least two numbers, got augmentation: NoAugmentation, Crop. Use Contrast"):
        Trend(CORRELATION, over=CROP, expected="decreasing")
    with pytest.raises(ValueError, match=r"baseline must be a level of width, got 5\. Levels: 4, 8, 16, 32"):
        Contrast(CORRELATION, WIDTH, 4, 5, expected="increasing")
    with pytest.raises(ValueError, match="two different levels, got 4 twice"):
        Contrast(CORRELATION, WIDTH, 4, 4, expected="increasing")
    with pytest.raises(ValueError, match="within must be a level of width, got 5"):
        Contrast(CORRELATION, CROP, *CROP.levels, expected="increasing", within=((WIDTH, 5),))


def test_effects_have_a_unit_and_one_value_per_seed():
    crops = Contrast(CORRELATION, CROP, CROP.levels[1], CROP.levels[0], expected="increasing")
    slope = Trend(CORRELATION, WIDTH, expected="increasing")
    tests = slope, replace(slope, over=replace(WIDTH, log=False)), crops, Value(CORRELATION, expected="increasing")
    assert [test.effect_unit for test in tests] == [
        "slope per doubling of width",
        "slope per unit of width (channels)",
        "difference",
        "value",
    ]
    assert {test.units for test in tests} == {()}
