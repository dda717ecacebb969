"""The report: one self-contained page without scripts, verdict first, with every figure and table also as a file.

Figures are inline SVG, which takes 40 ms and some 20 kB per chart, prints well, and needs no network. Interactive
charts would embed a bundle of 898 kB that takes seconds to build.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from polars import DataFrame

from equistudy.analysis.findings import ClaimFinding, build_claim_findings
from equistudy.analysis.table import StudyTable, describe_absence
from equistudy.analysis.verdicts import VerdictStatus, judge_claims
from equistudy.report.effects import CAPTION, build_effect_frame, draw_effect_chart
from equistudy.report.methods import (
    collect_provenance,
    collect_settings,
    describe_compute,
    describe_method,
    list_absent_trials,
)
from equistudy.report.tables import ReportTable, tabulate_cells, tabulate_claims, tabulate_exploration, tabulate_search
from equistudy.report.theme import inline_svg, render_png, render_svg
from equistudy.results.export import write_safe_csv
from equistudy.study.search import Search
from equistudy.study.study import Claim, Figure, Study, Verdict

__all__ = [
    "RenderedFigure",
    "format_verdict_lines",
    "render_template",
    "summarise_verdicts",
    "write_figure",
    "write_report",
    "write_table",
]


class RenderedFigure(NamedTuple):
    """A figure on the page; `svg` is None if no finished trial has data for it."""

    name: str
    title: str
    caption: str
    svg: str | None


def write_report(study: Study, table: StudyTable, name: str, command: str, folder: Path) -> Path:
    """Writes `index.html`, `figures/*.svg|png|csv` and `tables/*.md|tex|csv` to the folder; returns the page's path.

    `name` is the study's; `command` is shown as the one that reproduces the report. Missing trials are stated.
    """
    judged = judge_claims(study, table)
    drawn = [_render_figure(figure, table, number, folder) for number, figure in enumerate(study.figures, 1)]
    lead = [drawn[index] for index in find_leading_figure(study)]
    if len(judged) > 1:
        lead.insert(0, _render_effects(build_claim_findings(judged, table), folder))
    tables = [tabulate_claims(judged, table)] if judged else []
    tables += [tabulate_search(study.design, table)] if isinstance(study.design, Search) else []
    tables += [tabulate_cells(study, table), tabulate_exploration(study, table)]
    for each in tables:
        write_table(each, folder / "tables")
    page = render_template(
        "page.html",
        name=name,
        command=command,
        question=study.question,
        judged=judged,
        headline=summarise_verdicts(judged),
        statuses=list(VerdictStatus),
        absence=_describe_unmentioned_absence([verdict.sentence for _, verdict in judged], table),
        lead=[figure for figure in lead if figure.svg],
        figures=[figure for figure in drawn if figure not in lead or not figure.svg],
        tables=tables,
        method=describe_method(study, table),
        settings=collect_settings(study),
        unfinished=list_absent_trials(table),
        costs=describe_compute(table),
        provenance=collect_provenance(table),
    )
    path = folder / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def render_template(template: str, **values: Any) -> str:
    """Renders a template of this package."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("equistudy", "report"), autoescape=True, trim_blocks=True)
    return environment.get_template(template).render(**values)


def format_verdict_lines(study: Study, table: StudyTable) -> list[str]:
    """The verdicts for a terminal: one line per claim, and one about trials without results."""
    lines = [f"{v.status.upper()}: {claim.statement}. {v.sentence}" for claim, v in judge_claims(study, table)]
    absent = _describe_unmentioned_absence(lines, table)
    mixed = [] if lines else table.describe_mixed_architectures()
    return [*lines, *mixed, *([absent] if absent else [])]


def _describe_unmentioned_absence(sentences: Sequence[str], table: StudyTable) -> str:
    """A sentence about trials without results, unless one of the sentences contains it already."""
    absent = describe_absence(table.absent_trials, table.factors, len(table.design))
    return "" if any(absent in sentence for sentence in sentences) else absent


def summarise_verdicts(judged: Sequence[tuple[Claim, Verdict]]) -> str:
    """The verdict in one sentence: that of a single claim, or the number of claims by status."""
    if not judged:
        return "The study declares no claims, so everything below is exploratory."
    if len(judged) == 1:
        return judged[0][1].sentence
    counts = Counter(verdict.status for _, verdict in judged)
    parts = [f"{counts[status]} {status}" for status in VerdictStatus if counts[status]]
    return f"Of {len(judged)} claims: {', '.join(parts)}."


def find_leading_figure(study: Study) -> list[int]:
    """The index of the figure to show first: preferably one with the first claim's outcome over its factors.

    Otherwise the first figure with that outcome, or else the first figure.
    """
    if not study.figures or not study.claims:
        return [0] if study.figures else []
    test = study.claims[0].test
    wanted, factors = set(getattr(test, "outcomes", ())), set(test.factors)
    scores = [
        (bool(wanted & set(getattr(figure, "outcomes", ()))), len(factors & set(figure.factors)), -number)
        for number, figure in enumerate(study.figures)
    ]
    return [-max(scores)[2]]


def _render_effects(claims: Sequence[ClaimFinding], folder: Path) -> RenderedFigure:
    """Renders the figure of all claims."""
    frame = build_effect_frame(claims)
    title = "All claims at a glance"
    if frame.is_empty():
        return RenderedFigure("claims", title, "", None)
    return write_figure(frame, draw_effect_chart(frame), RenderedFigure("claims", title, CAPTION, None), folder)


def _render_figure(figure: Figure, table: StudyTable, number: int, folder: Path) -> RenderedFigure:
    """Renders a figure for the page, and writes its files."""
    frame = figure.frame(table)
    title = getattr(figure, "title", f"Figure {number}")
    words = re.sub(r"[^a-z0-9]+", " ", re.sub(r"\(.*?\)", "", title.lower())).split()
    name = "-".join([str(number), *words])
    if frame.is_empty():
        return RenderedFigure(name, title, "", None)
    caption = figure.caption(frame) if hasattr(figure, "caption") else ""
    return write_figure(frame, figure.draw(frame), RenderedFigure(name, title, caption, None), folder)


def write_figure(frame: DataFrame, chart: Any, figure: RenderedFigure, folder: Path) -> RenderedFigure:
    """Adds the drawing to the figure, and writes it with its numbers beside the page."""
    drawn = render_svg(chart)
    path = folder / "figures" / figure.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{figure.name}.svg").write_text(drawn, encoding="utf-8")
    path.with_name(f"{figure.name}.png").write_bytes(render_png(drawn))
    path.with_name(f"{figure.name}.csv").write_text(write_safe_csv(frame), encoding="utf-8")
    prefix = f"f{figure.name.partition('-')[0]}"
    return figure._replace(svg=inline_svg(drawn, prefix, f"{figure.title}. {figure.caption}"))


def write_table(table: ReportTable, folder: Path) -> None:
    """Writes the table as Markdown, LaTeX and CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{table.name}.md").write_text(table.to_markdown(), encoding="utf-8")
    (folder / f"{table.name}.tex").write_text(table.to_latex(), encoding="utf-8")
    (folder / f"{table.name}.csv").write_text(write_safe_csv(table.numbers), encoding="utf-8")
