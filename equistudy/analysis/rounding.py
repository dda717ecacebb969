"""Numbers as a paper prints them: as many digits as the interval leaves meaningful."""

import math

__all__ = ["decimals", "rounded", "with_margin"]

SIGNIFICANT = 2  # digits of the half-width of an interval that are worth printing


def decimals(half_width: int | float | None, value: int | float = 0.0) -> int:
    """How many decimals to print: two significant digits of the half-width, or three of the value without one."""
    if half_width is not None and half_width > 0 and math.isfinite(half_width):
        return min(9, max(0, SIGNIFICANT - 1 - math.floor(math.log10(half_width))))
    if value == 0 or not math.isfinite(value):
        return 2
    return min(9, max(0, SIGNIFICANT - math.floor(math.log10(abs(value)))))


def rounded(value: int | float, half_width: int | float | None = None) -> str:
    """`value` with the digits that its half-width leaves: 0.93124 with 0.0041 is 0.9312."""
    text = f"{value:.{decimals(half_width, value)}f}"
    return text.lstrip("-") if float(text) == 0 else text


def with_margin(value: int | float, half_width: int | float | None, sign: str = "+-") -> str:
    """`value +- half_width`, both to the same decimal; the value alone where there is no interval."""
    if half_width is None:
        return rounded(value)
    return f"{rounded(value, half_width)} {sign} {half_width:.{decimals(half_width, value)}f}"
