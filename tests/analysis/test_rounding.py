import pytest

from equistudy.analysis.rounding import count_decimals, format_rounded, format_with_margin


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (0.93124, 0.0041, "0.9312"),
        (0.93124, 0.041, "0.931"),
        (-0.0301, 0.5, "-0.03"),
        (1234.6, 120.0, "1235"),
        (0.5, 0, "0.500"),
        (0.0312345, None, "0.0312"),
        (0.0, None, "0.00"),
        (-0.0001, 0.5, "0.00"),
    ],
)
def test_two_digits_of_the_half_width_decide(value, half, text):
    assert format_rounded(value, half) == text


def test_value_and_margin_end_at_the_same_decimal():
    assert format_with_margin(0.93124, 0.0041) == "0.9312 +- 0.0041"
    assert format_with_margin(0.93124, 0.0041, sign="±") == "0.9312 ± 0.0041"
    assert format_with_margin(0.93124, None) == "0.931"


def test_not_a_number_and_tiny_intervals_are_printed():
    assert format_rounded(float("nan")) == "nan"
    assert count_decimals(1e-30) == 9
