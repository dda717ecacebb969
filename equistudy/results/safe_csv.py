"""Rows as CSV in which no name is a formula: spreadsheets run texts that begin with one of a few characters."""

import re

import polars as pl

__all__ = ["write_safe_csv"]

FORMULA = r"^[=+\-@\t\r]"
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^-$"


def write_safe_csv(frame: pl.DataFrame) -> str:
    """The frame as CSV, with an apostrophe before texts and column names that a spreadsheet would run as formulas."""
    formula = pl.col(pl.String).str.contains(FORMULA) & ~pl.col(pl.String).str.contains(NUMBER)
    texts = pl.when(formula).then(pl.lit("'") + pl.col(pl.String)).otherwise(pl.col(pl.String)).name.keep()
    harmless = frame.with_columns(texts) if pl.String in frame.dtypes else frame
    return harmless.rename({name: f"'{name}" for name in frame.columns if re.match(FORMULA, name)}).write_csv()
