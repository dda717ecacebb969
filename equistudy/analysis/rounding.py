"""Rounds numbers for printing to the digits that their interval makes meaningful."""

import math

__all__ = ["count_decimals", "format_rounded", "format_with_margin"]

SIGNIFICANT_DIGITS = 2  # of the half-width of an interval


def count_decimals(half_width: int | float | None, value: int | float = 0.0) -> int:
    """The number of decimals to print: two significant digits of the half-width, or three of a value without one."""
    if half_width is not None and half_width > 0 and math.isfinite(half_width):
        return min(9, max(0, SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(half_width))))
    if value == 0 or not math.isfinite(value):
        return 2
    return min(9, max(0, SIGNIFICANT_DIGITS - math.floor(math.log10(abs(value)))))


def format_rounded(value: int | float, half_width: int | float | None = None) -> str:
    """The value, rounded according to its half-width: 0.93124 with 0.0041 is 0.9312."""
    text = f"{value:.{count_decimals(half_width, value)}f}"
    return text.lstrip("-") if float(text) == 0 else text


def format_with_margin(value: int | float, half_width: int | float | None, sign: str = "+-") -> str:
    """The text `value +- half_width`, with equal decimals; only the value if there is no interval."""
    if half_width is None:
        return format_rounded(value)
    return f"{format_rounded(value, half_width)} {sign} {half_width:.{count_decimals(half_width, value)}f}"
