"""Warnings of this package as plain lines on stderr, without Python's file names and source lines."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from equistudy.cli.errors import PACKAGE, escape_controls

__all__ = ["print_warnings_plainly"]

MAX_LISTED = 5


@contextmanager
def print_warnings_plainly() -> Iterator[None]:
    """Collects this package's warnings while the block runs and then prints them, one line for each kind."""
    found: dict[Any, list[Warning]] = {}
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not isinstance(message, Warning) or category.__module__.partition(".")[0] != PACKAGE:
            show_others(message, category, *place, **more)
            return
        # warnings about files are one kind; of all others each text is its own
        kind = found.setdefault(category if hasattr(message, "file") else str(message), [])
        if str(message) not in map(str, kind):
            kind.append(message)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        finally:
            for kind in found.values():
                click.echo(escape_controls(_format_kind(kind)).replace("\n", " "), file=sys.stderr)


def _format_kind(kind: list[Warning]) -> str:
    """The first warning of a kind, and the files that others of it are about."""
    first, *others = kind
    files = [str(getattr(other, "file", "")) for other in others]
    more = f" and {len(files) - MAX_LISTED} more" if len(files) > MAX_LISTED else ""
    also = f" Also ignored: {', '.join(files[:MAX_LISTED])}{more}." if files else ""
    return f"Warning: {first}{also}"
