"""The table of a search: all sampled trials, when the scheduler stopped them, and the confirmation of the best."""

import polars as pl

from equistudy.analysis.rounding import format_rounded
from equistudy.analysis.table import DONE, StudyTable
from equistudy.report.tables import ReportTable
from equistudy.spec import format_label
from equistudy.study.search import CONFIRMATION, DRAWN, ROUND, Mode, Search

__all__ = ["tabulate_search"]


def tabulate_search(design: Search, table: StudyTable) -> ReportTable:
    """One row per trial: the confirmation first, then sampled trials that finished, best first.

    Trials that were stopped early follow, those with the most epochs first; their score is from their last epoch.
    """
    score, names = design.score, [*design.drawn_names]
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
        [row[ROUND.name], *(format_label(row[name]) for name in names), str(row["seed"]), *_describe_end(row, score)]
        for row in found
    ]
    ended = [index for index, row in enumerate(found) if row[ROUND.name] == DRAWN and row["status"] == DONE]
    rungs = getattr(design.scheduler, "rungs", ())
    judged = f", judged after {' and '.join(map(str, rungs))} epochs" if rungs else ""
    return ReportTable(
        "search",
        f"Trials sampled by the search{judged}, by {score.replace('_', ' ')}; the best trial is in bold, "
        "and the rows above it confirm it with other seeds.",
        [ROUND.name, *names, "seed", "ended", score.replace("_", " ")],
        rows,
        numbers,
        frozenset((index, len(names) + 3) for index in ended[:1]),
    )


def _describe_end(row: dict[str, object], score: str) -> list[str]:
    """The end of a trial in words, and its last score."""
    epochs, value = row["epochs"], row[score]
    told = {DONE: f"done, {epochs} epochs"}.get(str(row["status"]), str(row["reason"] or row["status"]))
    if row["status"] != DONE and epochs is not None:
        told += f" after {epochs} epochs"
    return [told, "" if not isinstance(value, float) else format_rounded(value, None)]
