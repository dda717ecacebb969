"""The table of a search: every drawn trial, how far its scheduler let it go, and the confirmation of the best."""

import polars as pl

from equistudy.analysis.rounding import rounded
from equistudy.analysis.table import DONE, StudyTable
from equistudy.report.tables import Table
from equistudy.spec import label
from equistudy.study.search import CONFIRMATION, DRAWN, ROUND, Mode, Search

__all__ = ["search_table"]


def search_table(design: Search, table: StudyTable) -> Table:
    """A row for each trial: the confirmation first, then what was drawn, the best of those that reached the end first.

    What was stopped comes after it, by how far it came; its score is that of the epoch at which it was stopped.
    """
    score, names = design.score, [*design.drawn]
    frame = table.trials
    for name, kind in (("reason", pl.String), ("epochs", pl.Int64), (score, pl.Float64)):
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=kind).alias(name))
    drawn = pl.col(ROUND.name) != CONFIRMATION if ROUND.name in frame.columns else pl.lit(True)
    worst_first = pl.col(score) if design.mode is Mode.MIN else -pl.col(score)
    order = [drawn, pl.col("status") != DONE, -pl.col("epochs"), worst_first, pl.col("seed")]
    which = pl.when(drawn).then(pl.lit(DRAWN)).otherwise(pl.lit(CONFIRMATION)).alias(ROUND.name)
    numbers = frame.sort(order, nulls_last=True).select(which, *names, "seed", "status", "reason", "epochs", score)
    found = numbers.to_dicts()
    rows = [
        [row[ROUND.name], *(label(row[name]) for name in names), str(row["seed"]), *_end(row, score)] for row in found
    ]
    ended = [index for index, row in enumerate(found) if row[ROUND.name] == DRAWN and row["status"] == DONE]
    rungs = getattr(design.scheduler, "rungs", ())
    judged = f", judged after {' and '.join(map(str, rungs))} epochs" if rungs else ""
    return Table(
        "search",
        f"What the search has drawn{judged}, by {score.replace('_', ' ')}; the best of them in bold, and "
        "above it its confirmation with other seeds.",
        [ROUND.name, *names, "seed", "ended", score.replace("_", " ")],
        rows,
        numbers,
        frozenset((index, len(names) + 3) for index in ended[:1]),
    )


def _end(row: dict[str, object], score: str) -> list[str]:
    """How a trial ended, and its last score."""
    epochs, value = row["epochs"], row[score]
    told = {DONE: f"done, {epochs} epochs"}.get(str(row["status"]), str(row["reason"] or row["status"]))
    if row["status"] != DONE and epochs is not None:
        told += f" after {epochs} epochs"
    return [told, "" if not isinstance(value, float) else rounded(value, None)]
