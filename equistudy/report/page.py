"""The report: one self-contained page without scripts, the verdict first; every figure and table beside it as files.

Figures are inline SVG: 40 ms and some 20 kB a chart, prints, and needs no network. The interactive alternative embeds
a bundle of 898 kB that takes seconds to make.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from polars import DataFrame

from equistudy.analysis.findings import ClaimFound, claims_found
from equistudy.analysis.table import StudyTable, absence
from equistudy.analysis.verdicts import Status, judge
from equistudy.report.effects import CAPTION, effect_chart, effect_frame
from equistudy.report.methods import costs, method, provenance, settings, unfinished
from equistudy.report.searched import search_table
from equistudy.report.tables import Table, cell_table, claim_table, explored_table
from equistudy.report.theme import inline, png, svg
from equistudy.study.search import Search
from equistudy.study.study import Claim, Figure, Study, Verdict

__all__ = ["Drawn", "headline", "kept_figure", "rendered", "verdict_lines", "write_report", "write_table"]


class Drawn(NamedTuple):
    """A figure on the page; `svg` is None where no done trial shows it yet."""

    name: str
    title: str
    caption: str
    svg: str | None


def write_report(study: Study, table: StudyTable, name: str, command: str, folder: Path) -> Path:
    """Writes `index.html`, `figures/*.svg|png|csv` and `tables/*.md|tex|csv` into the folder; gives the page's path.

    `name` is the study's, `command` the one that makes the report again. Works while trials are missing, and says so.
    """
    judged = judge(study, table)
    drawn = [_drawn(figure, table, number, folder) for number, figure in enumerate(study.figures, 1)]
    lead = [drawn[index] for index in leading(study)]
    if len(judged) > 1:
        lead.insert(0, _effects(claims_found(judged, table), folder))
    tables = [claim_table(judged, table)] if judged else []
    tables += [search_table(study.design, table)] if isinstance(study.design, Search) else []
    tables += [cell_table(study, table), explored_table(study, table)]
    for each in tables:
        write_table(each, folder / "tables")
    page = rendered(
        "page.html",
        name=name,
        command=command,
        question=study.question,
        judged=judged,
        headline=headline(judged),
        statuses=list(Status),
        absence=_absence_beyond([verdict.sentence for _, verdict in judged], table),
        lead=[figure for figure in lead if figure.svg],
        figures=[figure for figure in drawn if figure not in lead or not figure.svg],
        tables=tables,
        method=method(study, table),
        settings=settings(study),
        unfinished=unfinished(table),
        costs=costs(table),
        provenance=provenance(table),
    )
    path = folder / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def rendered(template: str, **values: Any) -> str:
    """A template of this room, filled in."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("equistudy", "report"), autoescape=True, trim_blocks=True)
    return environment.get_template(template).render(**values)


def verdict_lines(study: Study, table: StudyTable) -> list[str]:
    """The verdicts for a terminal: one line a claim, and one that names absent trials."""
    lines = [f"{v.status.upper()}: {claim.statement}. {v.sentence}" for claim, v in judge(study, table)]
    absent = _absence_beyond(lines, table)
    return [*lines, absent] if absent else lines


def _absence_beyond(sentences: Sequence[str], table: StudyTable) -> str:
    """The sentence that names absent trials, unless one of the sentences says it already."""
    absent = absence(table.absent, table.factors, len(table.design))
    return "" if any(absent in sentence for sentence in sentences) else absent


def headline(judged: Sequence[tuple[Claim, Verdict]]) -> str:
    """The study's verdict in one sentence: that of its one claim, or how many claims got which."""
    if not judged:
        return "The study declares no claim: everything below is exploratory."
    if len(judged) == 1:
        return judged[0][1].sentence
    counts = Counter(verdict.status for _, verdict in judged)
    parts = [f"{counts[status]} {status}" for status in Status if counts[status]]
    return f"Of {len(judged)} claims: {', '.join(parts)}."


def leading(study: Study) -> list[int]:
    """Which figure carries the verdict: the first that shows the first claim's outcome over its factors, if any does.

    Otherwise the first that shows the outcome, or else the first.
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


def _effects(claims: Sequence[ClaimFound], folder: Path) -> Drawn:
    """All claims in one figure."""
    frame = effect_frame(claims)
    title = "The claims at one glance"
    if frame.is_empty():
        return Drawn("claims", title, "", None)
    return kept_figure(frame, effect_chart(frame), Drawn("claims", title, CAPTION, None), folder)


def _drawn(figure: Figure, table: StudyTable, number: int, folder: Path) -> Drawn:
    """The figure as files and for the page."""
    frame = figure.frame(table)
    title = getattr(figure, "title", f"Figure {number}")
    words = re.sub(r"[^a-z0-9]+", " ", re.sub(r"\(.*?\)", "", title.lower())).split()
    name = "-".join([str(number), *words])
    if frame.is_empty():
        return Drawn(name, title, "", None)
    caption = figure.caption(frame) if hasattr(figure, "caption") else ""
    return kept_figure(frame, figure.draw(frame), Drawn(name, title, caption, None), folder)


def kept_figure(frame: DataFrame, chart: Any, figure: Drawn, folder: Path) -> Drawn:
    """The figure with its drawing, which is written beside the page together with its numbers."""
    drawn = svg(chart)
    path = folder / "figures" / figure.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{figure.name}.svg").write_text(drawn, encoding="utf-8")
    path.with_name(f"{figure.name}.png").write_bytes(png(drawn))
    frame.write_csv(path.with_name(f"{figure.name}.csv"))
    prefix = f"f{figure.name.partition('-')[0]}"
    return figure._replace(svg=inline(drawn, prefix, f"{figure.title}. {figure.caption}"))


def write_table(table: Table, folder: Path) -> None:
    """The table as files: Markdown, LaTeX, CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{table.name}.md").write_text(table.markdown(), encoding="utf-8")
    (folder / f"{table.name}.tex").write_text(table.latex(), encoding="utf-8")
    table.numbers.write_csv(folder / f"{table.name}.csv")
