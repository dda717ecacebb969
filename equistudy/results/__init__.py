"""The Parquet tables: schema, atomic writes, lazy scans, compaction."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equistudy.results.reader import Results

__all__ = ["results"]


def results(place: str | Path) -> "Results":
    """The results at a path or a URL, as they are now. Call it again to see what has been added since.

    Raises FileNotFoundError where there is nothing, ValueError for a folder that does not hold results.
    """
    from equistudy.results.reader import Results

    return Results.open(place)
