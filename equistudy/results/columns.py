"""Turns the JSON texts of the trials into columns: a level, a score or a field of the spec each."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from equistudy.spec import format_label

__all__ = ["build_series", "expand_columns"]

JSON_COLUMNS = ("factors", "scores", "spec")
IDENTITY_COLUMNS = ("trial", "study", "status", "seed", "attempt")  # no factor may take these names
INT64_RANGE = range(-(2**63), 2**63)


def expand_columns(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of trials with a column for each factor, score and field of the spec in place of the JSON texts.

    Where names meet, a row shows its factor's level before a column of the table, and that before a score or a field
    of the spec. In a row without that factor the next one shows.
    """
    factors, scores, spec = (_parse_objects(rows[name]) for name in JSON_COLUMNS)
    own = [name for name in rows.columns if name not in JSON_COLUMNS]
    columns = {name: rows[name] for name in IDENTITY_COLUMNS}
    for name in _collect_keys(factors):
        if name not in IDENTITY_COLUMNS:
            columns[name] = build_series(
                name, _take_first_known(name, factors, rows if name in own else None, scores, spec)
            )
    for name in _collect_keys(scores):
        if name not in columns and name not in own:
            columns[name] = build_series(name, _take_first_known(name, scores, None, spec))
    columns.update({name: rows[name] for name in own if name not in columns})
    for name in _collect_keys(spec):
        if name not in columns:
            columns[name] = build_series(name, [row.get(name) for row in spec])
    return pl.DataFrame(list(columns.values()))


def _parse_objects(texts: pl.Series) -> list[Mapping[str, Any]]:
    """The object of each row; equal texts, such as the levels of replicates, are parsed once."""
    objects = {text: {} if text is None else json.loads(text) for text in texts.unique()}
    return [objects[text] for text in texts]


def _collect_keys(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """All keys, in the order in which they first occur."""
    names: dict[str, None] = {}
    for row in rows:
        if not names.keys() >= row.keys():
            names.update(dict.fromkeys(row))
    return list(names)


def _take_first_known(
    name: str, first: Sequence[Mapping[str, Any]], table: pl.DataFrame | None, *others: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """In each row the value of the first source that has one."""
    values = [row.get(name) for row in first]
    rest = [*([] if table is None else [table[name].to_list()]), *([row.get(name) for row in rows] for rows in others)]
    for column in rest:
        if None in values:
            values = [other if value is None else value for value, other in zip(values, column, strict=True)]
    return values


def build_series(name: str, values: Sequence[Any]) -> pl.Series:
    """The values as a column: numbers as Int64 or Float64, truth values as Boolean, anything mixed as text."""
    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pl.Series(name, values, dtype=pl.Null)
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds == {int} and all(value is None or value in INT64_RANGE for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds <= {int, float} and float in kinds:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    return pl.Series(name, [None if value is None else format_label(value) for value in values], dtype=pl.String)
