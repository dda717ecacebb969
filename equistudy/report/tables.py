"""The tables of the report (cells, claims and exploratory effects), as formatted text and as unrounded numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from equistudy.analysis.exploration import build_exploratory_tests, collect_outcomes
from equistudy.analysis.rounding import format_rounded, format_with_margin
from equistudy.analysis.summary import summarise_cells
from equistudy.analysis.table import DONE, StudyTable
from equistudy.analysis.verdicts import correct_verdicts, format_p_value
from equistudy.spec import format_label
from equistudy.study.search import CONFIRMATION, DRAWN, ROUND, Mode, Search
from equistudy.study.study import Claim, Study, Verdict

__all__ = [
    "ReportTable",
    "format_markdown_row",
    "tabulate_cells",
    "tabulate_claims",
    "tabulate_exploration",
    "tabulate_search",
]

LATEX_ESCAPES = str.maketrans(
    {**{mark: f"\\{mark}" for mark in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
    | {"^": r"\textasciicircum{}", "±": r"$\pm$", "<": "$<$", ">": "$>$"}
)
MARKDOWN_ESCAPES = str.maketrans({**{mark: f"\\{mark}" for mark in "\\|*`[]"}, "\n": " ", "<": "&lt;", "&": "&amp;"})


@dataclass(frozen=True, eq=False)
class ReportTable:
    """A formatted table with the positions (row, column) of bold cells, and the unrounded numbers behind it."""

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: pl.DataFrame
    bold: frozenset[tuple[int, int]] = frozenset()

    def to_markdown(self) -> str:
        """A Markdown table with its caption."""
        head = [text.translate(MARKDOWN_ESCAPES) for text in self.header]
        lines = [f"{self.caption}\n", format_markdown_row(head), format_markdown_row(["---"] * len(head))]
        return "\n".join([*lines, *map(format_markdown_row, self._format_cells(MARKDOWN_ESCAPES, "**{}**"))]) + "\n"

    def to_latex(self) -> str:
        """A LaTeX table that needs only the package booktabs."""
        head = " & ".join(text.translate(LATEX_ESCAPES) for text in self.header)
        body = [" & ".join(row) + r" \\" for row in self._format_cells(LATEX_ESCAPES, r"\textbf{{{}}}")]
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{self.caption.translate(LATEX_ESCAPES)}}}"]
        lines += [rf"\begin{{tabular}}{{{'l' * len(self.header)}}}", r"\toprule", rf"{head} \\", r"\midrule", *body]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])

    def _format_cells(self, escapes: dict[int, str], bold: str) -> list[list[str]]:
        return [
            [
                bold.format(text.translate(escapes)) if (i, j) in self.bold else text.translate(escapes)
                for j, text in enumerate(row)
            ]
            for i, row in enumerate(self.rows)
        ]


def format_markdown_row(texts: Sequence[str]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(texts)} |"


def tabulate_cells(study: Study, table: StudyTable) -> ReportTable:
    """All cells with mean and 95 % t interval over the seeds for each outcome; the best and its ties in bold."""
    factors, rows, bold, numbers = table.factors, {}, set(), []
    order = list(dict.fromkeys(tuple(row[name] for name in factors) for row in table.design.rows(named=True)))
    for column, outcome in enumerate(collect_outcomes(study), len(factors)):
        summary = summarise_cells(outcome, table)
        numbers.append(summary.with_columns(outcome=pl.lit(outcome.title)))
        for row in summary.rows(named=True):
            key = tuple(row[name] for name in factors)
            rows[key, column] = f"{_format_cell(row['value'], row['low'], row['high'])} (n = {row['n']})"
            bold |= {(order.index(key), column)} if row["best"] else set()
    width = len(factors) + len(collect_outcomes(study))
    texts = [
        [*map(format_label, key), *(rows.get((key, j), "missing") for j in range(len(factors), width))] for key in order
    ]
    return ReportTable(
        "cells",
        "Mean and 95 % t interval over seeds. Bold: the best cell and those whose paired difference from it is not "
        "distinguishable from 0.",
        [*(factor.title for factor in study.design.factors), *(outcome.title for outcome in collect_outcomes(study))],
        texts,
        pl.concat(numbers, how="diagonal") if numbers else pl.DataFrame(),
        frozenset(bold),
    )


def _format_cell(value: float, low: float | None, high: float | None) -> str:
    """The text `0.93 ± 0.02`, or `0.99 [0.96, 1.00]` if the interval is clipped to the possible values."""
    if low is None or high is None:
        return format_with_margin(value, None)
    half = (high - low) / 2
    if math.isclose(value - low, high - value, rel_tol=1e-6, abs_tol=1e-12):
        return format_with_margin(value, half, "±")
    low_text, high_text = (format_rounded(end, half) for end in (low, high))
    return f"{format_rounded(value, half)} [{low_text}, {high_text}]"


def tabulate_claims(judged: Sequence[tuple[Claim, Verdict]], table: StudyTable) -> ReportTable:
    """The declared claims: verdict, effect with interval, p after Holm's correction, number of replicates."""
    verdicts = [verdict for _, verdict in judged]
    names = [claim.statement + (f" ({claim.source})" if claim.source else "") for claim, _ in judged]
    details = [verdict.details for _, verdict in judged]
    rows = [
        [name, v.status, *_format_effect(v), detail] for name, v, detail in zip(names, verdicts, details, strict=True)
    ]
    header = ["claim", "verdict", "effect [95 % interval]", "p (Holm)", "n", "effect size"]
    return ReportTable(
        "claims", "Claims declared before seeing the data.", header, rows, _collect_numbers(names, verdicts)
    )


def tabulate_exploration(study: Study, table: StudyTable) -> ReportTable:
    """Undeclared effects, corrected over the whole table: suggestions for the next study without verdicts."""
    tests = build_exploratory_tests(study)
    verdicts = correct_verdicts([test.test(table) for test in tests])
    names = [f"{test.outcomes[0].title} {test.comparison}{test.within_text}" for test in tests]
    rows = [[name, *_format_effect(verdict)] for name, verdict in zip(names, verdicts, strict=True)]
    caption = (
        "Exploratory: effects that were not declared as claims; "
        "p values are Holm-corrected over this table. These are not confirmatory."
    )
    header = ["effect", "estimate [95 % interval]", "p (Holm)", "n"]
    return ReportTable("exploratory", caption, header, rows, _collect_numbers(names, verdicts).drop("status"))


def _format_effect(verdict: Verdict) -> list[str]:
    """Effect with interval, p and n, as text."""
    if verdict.effect is None:
        return ["no data", "", str(verdict.n)]
    half = None if verdict.low is None or verdict.high is None else (verdict.high - verdict.low) / 2
    text = format_rounded(verdict.effect, half)
    if verdict.low is not None and verdict.high is not None:
        text += f" [{format_rounded(verdict.low, half)}, {format_rounded(verdict.high, half)}]"
    p = "" if verdict.p is None else format_p_value(verdict.p).removeprefix("p ").removeprefix("= ")
    return [text, p, str(verdict.n)]


def _collect_numbers(names: Sequence[str], verdicts: Sequence[Verdict]) -> pl.DataFrame:
    columns = {"status": pl.String, "effect": pl.Float64, "low": pl.Float64, "high": pl.Float64, "p": pl.Float64}
    rows = [[name, str(v.status), v.effect, v.low, v.high, v.p, v.n] for name, v in zip(names, verdicts, strict=True)]
    return pl.DataFrame(rows, schema={"name": pl.String, **columns, "n": pl.Int64}, orient="row")


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
