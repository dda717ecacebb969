"""The tables of the report: cells, claims and explored effects, as text for readers and as numbers for programs."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from equistudy.analysis.effect_test import EffectTest
from equistudy.analysis.exploration import exploratory, outcomes
from equistudy.analysis.rounding import rounded, with_margin
from equistudy.analysis.summary import cells
from equistudy.analysis.table import StudyTable
from equistudy.analysis.verdicts import corrected, p_text
from equistudy.spec import label
from equistudy.study.study import Claim, Study, Verdict

__all__ = ["Table", "cell_table", "claim_table", "explored_table", "markdown_line"]

LATEX = str.maketrans(
    {**{mark: f"\\{mark}" for mark in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
    | {"^": r"\textasciicircum{}", "±": r"$\pm$", "<": "$<$", ">": "$>$"}
)
MARKDOWN = str.maketrans({"|": "\\|", "*": "\\*", "\n": " "})


@dataclass(frozen=True, eq=False)
class Table:
    """A table as readers see it, with the cells in bold as (row, column), and the unrounded numbers behind it."""

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: pl.DataFrame
    bold: frozenset[tuple[int, int]] = frozenset()

    def markdown(self) -> str:
        """A Markdown table with its caption."""
        head = [text.translate(MARKDOWN) for text in self.header]
        lines = [f"{self.caption}\n", markdown_line(head), markdown_line(["---"] * len(head))]
        return "\n".join([*lines, *map(markdown_line, self._marked(MARKDOWN, "**{}**"))]) + "\n"

    def latex(self) -> str:
        """A LaTeX table for the packages booktabs and, for the symbols, none other."""
        head = " & ".join(text.translate(LATEX) for text in self.header)
        body = [" & ".join(row) + r" \\" for row in self._marked(LATEX, r"\textbf{{{}}}")]
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{self.caption.translate(LATEX)}}}"]
        lines += [rf"\begin{{tabular}}{{{'l' * len(self.header)}}}", r"\toprule", rf"{head} \\", r"\midrule", *body]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])

    def _marked(self, escapes: dict[int, str], bold: str) -> list[list[str]]:
        return [
            [
                bold.format(text.translate(escapes)) if (i, j) in self.bold else text.translate(escapes)
                for j, text in enumerate(row)
            ]
            for i, row in enumerate(self.rows)
        ]


def markdown_line(texts: Sequence[str]) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(texts)} |"


def cell_table(study: Study, table: StudyTable) -> Table:
    """Every cell: mean +- half the 95 % t interval over the seeds for each outcome; the best and its ties in bold."""
    factors, rows, bold, numbers = table.factors, {}, set(), []
    order = list(dict.fromkeys(tuple(row[name] for name in factors) for row in table.design.rows(named=True)))
    for column, outcome in enumerate(outcomes(study), len(factors)):
        summary = cells(outcome, table)
        numbers.append(summary.with_columns(outcome=pl.lit(outcome.title)))
        for row in summary.rows(named=True):
            key = tuple(row[name] for name in factors)
            half = None if row["low"] is None else (row["high"] - row["low"]) / 2
            rows[key, column] = f"{with_margin(row['value'], half, '±')} (n = {row['n']})"
            bold |= {(order.index(key), column)} if row["best"] else set()
    width = len(factors) + len(outcomes(study))
    texts = [[*map(label, key), *(rows.get((key, j), "missing") for j in range(len(factors), width))] for key in order]
    return Table(
        "cells",
        "Mean and 95 % t interval over seeds. Bold: the best cell and those whose paired difference from it is not "
        "distinguishable from 0.",
        [*(factor.title for factor in study.design.factors), *(outcome.title for outcome in outcomes(study))],
        texts,
        pl.concat(numbers, how="diagonal") if numbers else pl.DataFrame(),
        frozenset(bold),
    )


def claim_table(judged: Sequence[tuple[Claim, Verdict]], table: StudyTable) -> Table:
    """The declared claims: verdict, effect with interval, p after Holm's correction, number of replicates."""
    tests = [claim.test for claim, _ in judged]
    verdicts = [verdict for _, verdict in judged]
    names = [claim.statement + (f" ({claim.source})" if claim.source else "") for claim, _ in judged]
    details = [test.details(table) if isinstance(test, EffectTest) else "" for test in tests]
    rows = [[name, v.status, *_effect(v), detail] for name, v, detail in zip(names, verdicts, details, strict=True)]
    header = ["claim", "verdict", "effect [95 % interval]", "p (Holm)", "n", "effect size"]
    return Table("claims", "Claims declared before the data was seen.", header, rows, _numbers(names, verdicts))


def explored_table(study: Study, table: StudyTable) -> Table:
    """What nobody declared, corrected over all of it: suggestions for the next study, no verdicts."""
    tests = exploratory(study)
    verdicts = corrected([test.test(table) for test in tests])
    names = [f"{test.outcomes[0].title} {test.comparison}{test.place}" for test in tests]
    rows = [[name, *_effect(verdict)] for name, verdict in zip(names, verdicts, strict=True)]
    caption = "Exploratory: effects that were not declared, p corrected by Holm over this table. They decide nothing."
    header = ["effect", "estimate [95 % interval]", "p (Holm)", "n"]
    return Table("exploratory", caption, header, rows, _numbers(names, verdicts).drop("status"))


def _effect(verdict: Verdict) -> list[str]:
    """Effect with interval, p and n as text."""
    if verdict.effect is None:
        return ["no data", "", str(verdict.n)]
    half = None if verdict.low is None or verdict.high is None else (verdict.high - verdict.low) / 2
    text = rounded(verdict.effect, half)
    if verdict.low is not None and verdict.high is not None:
        text += f" [{rounded(verdict.low, half)}, {rounded(verdict.high, half)}]"
    p = "" if verdict.p is None else p_text(verdict.p).removeprefix("p ").removeprefix("= ")
    return [text, p, str(verdict.n)]


def _numbers(names: Sequence[str], verdicts: Sequence[Verdict]) -> pl.DataFrame:
    columns = {"status": pl.String, "effect": pl.Float64, "low": pl.Float64, "high": pl.Float64, "p": pl.Float64}
    rows = [[name, str(v.status), v.effect, v.low, v.high, v.p, v.n] for name, v in zip(names, verdicts, strict=True)]
    return pl.DataFrame(rows, schema={"name": pl.String, **columns, "n": pl.Int64}, orient="row")
