"""Several studies on one page: shared trials count once, and revisions are never mixed silently."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from equistudy.analysis.findings import build_claim_findings
from equistudy.analysis.outcome import as_outcome
from equistudy.analysis.table import StudyTable
from equistudy.analysis.verdicts import VerdictStatus, judge_claims
from equistudy.report.effects import CAPTION, build_effect_frame, draw_effect_chart
from equistudy.report.page import RenderedFigure, render_template, summarise_verdicts, write_figure, write_table
from equistudy.report.tables import ReportTable
from equistudy.study.design import Factor

__all__ = ["build_common_frame", "describe_other_revisions", "sum_compute", "write_comparison"]

StudyTables = Mapping[str, StudyTable]
COST_COLUMNS = ("seconds", "measuring_seconds", "lost_seconds")


def write_comparison(tables: StudyTables, measurements: pl.DataFrame, command: str, folder: Path) -> Path:
    """Writes `index.html` with its figures to the folder; returns the path of the page.

    `measurements` are those of all revisions in the results: the page says which revisions it leaves out.
    """
    judged = {name: judge_claims(table.study, table) for name, table in tables.items()}
    figures = [_draw_claims(name, build_claim_findings(judged[name], table), folder) for name, table in tables.items()]
    figures += _draw_common_measures(tables, folder)
    shown = [_tabulate_studies(tables), _tabulate_compute(tables)]
    for each in shown:
        write_table(each, folder / "tables")
    page = render_template(
        "comparison.html",
        names=list(tables),
        command=command,
        studies=[
            {"name": name, "question": table.study.question, "headline": summarise_verdicts(judged[name])}
            for name, table in tables.items()
        ],
        figures=figures,
        tables=shown,
        statuses=list(VerdictStatus),
        notices=[*_describe_shared_trials(tables), *describe_other_revisions(tables, measurements)],
    )
    path = folder / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def sum_compute(tables: StudyTables) -> pl.DataFrame:
    """The compute of all studies, counting every trial once: status, trials, and seconds by kind."""
    columns = ["trial", "status", *COST_COLUMNS]
    rows = [table.trials.filter(pl.col("attempt").is_not_null()).select(columns) for table in tables.values()]
    sums = [pl.col(name).cast(pl.Float64).sum() for name in COST_COLUMNS]
    return pl.concat(rows).unique("trial").group_by("status").agg(pl.len().alias("trials"), *sums).sort("status")


def build_common_frame(tables: StudyTables) -> pl.DataFrame:
    """The measures that all studies have in common, each network once: trial, study, test_accuracy, measure, value.

    `study` names all studies that share the network. A measure is common if its id is the same, so that values of
    different groups or revisions never share an axis.
    """
    first, *others = tables.values()
    common = [measure for measure in first.study.measures if all(measure in each.study.measures for each in others)]
    owners: dict[str, list[str]] = {}
    for name, table in tables.items():
        for trial in table.design["trial"].unique():
            owners.setdefault(trial, []).append(name)
    parts = []
    for measure in common:
        for table in tables.values():
            values = as_outcome(measure).values_per_trial(table).select("trial", "value").unique("trial")
            scores = table.trials.filter(status="done").select("trial", "test_accuracy").unique("trial")
            parts.append(values.join(scores, on="trial").with_columns(measure=pl.lit(as_outcome(measure).title)))
    if not parts:
        return pl.DataFrame(schema={"trial": pl.String, "value": pl.Float64})
    frame = pl.concat(parts).unique(["trial", "measure"], maintain_order=True)
    names = pl.Series("study", [", ".join(owners[trial]) for trial in frame["trial"]], dtype=pl.String)
    return frame.with_columns(names)


def describe_other_revisions(tables: StudyTables, measurements: pl.DataFrame) -> list[str]:
    """A sentence for each measure with results of other revisions for these trials, which are not shown."""
    trials = pl.concat([table.design.select("trial") for table in tables.values()]).unique()
    rows = measurements.join(trials, on="trial", how="semi")
    ours = {measure.id: measure for table in tables.values() for measure in table.study.measures}
    now = {measure.name: type(measure).REVISION for measure in ours.values()}
    told = []
    for name, revision in sorted(now.items()):
        found = rows.filter(pl.col("measure") == name, pl.col("revision") != revision)
        if len(found):
            old = ", ".join(map(str, found["revision"].unique().sort()))
            told.append(
                f"{found['trial'].n_unique()} networks also have values of {name} in revision {old}; this page shows "
                f"only revision {revision}."
            )
    return told


def _describe_shared_trials(tables: StudyTables) -> list[str]:
    counts = Counter(trial for table in tables.values() for trial in table.design["trial"].unique())
    shared = sum(count > 1 for count in counts.values())
    return [f"{shared} of {len(counts)} networks belong to more than one study and count once."] if shared else []


def _tabulate_studies(tables: StudyTables) -> ReportTable:
    sets = {name: set(table.design["trial"]) for name, table in tables.items()}
    rows = []
    for name, table in tables.items():
        others = set().union(*(each for other, each in sets.items() if other != name))
        done = table.trials.filter(status="done")["trial"].n_unique()
        shared = len(sets[name] & others)
        rows.append([name, str(len(sets[name])), str(done), str(shared), str(len(table.seeds))])
    header = ["study", "networks", "done", "shared with another", "seeds"]
    return ReportTable("studies", "Studies and their networks.", header, rows, pl.DataFrame(rows, header, orient="row"))


def _tabulate_compute(tables: StudyTables) -> ReportTable:
    spent = sum_compute(tables)
    rows = [
        [row["status"], str(row["trials"]), *(f"{row[n] / 3600:.3f}" for n in COST_COLUMNS)]
        for row in spent.rows(named=True)
    ]
    header = ["status", "networks", "training (h)", "measuring (h)", "lost (h)"]
    return ReportTable("compute", "Compute used; each network is counted once.", header, rows, spent)


def _draw_claims(name: str, claims: Sequence[Any], folder: Path) -> RenderedFigure:
    frame, figure = build_effect_frame(claims), RenderedFigure(f"claims-{name}", f"Claims of {name}", CAPTION, None)
    return figure if frame.is_empty() else write_figure(frame, draw_effect_chart(frame), figure, folder)


def _draw_common_measures(tables: StudyTables, folder: Path) -> list[RenderedFigure]:
    from equistudy.report.charts import draw_scatter

    figures, frame = [], build_common_frame(tables)
    if frame.is_empty():
        return []
    for number, (title, part) in enumerate(frame.partition_by("measure", as_dict=True, maintain_order=True).items()):
        shown = part.select("trial", "study", x_value="test_accuracy", y_value="value")
        study = Factor("networks", tuple(shown["study"].unique(maintain_order=True)))
        chart = draw_scatter(shown.rename({"study": "networks"}), study, "test accuracy", str(title[0]))
        caption = "Each dot is a network; a network shared by several studies is drawn once, labelled with all of them."
        figure = RenderedFigure(f"common-{number}", f"{title[0]} against accuracy", caption, None)
        figures.append(write_figure(shown, chart, figure, folder))
    return figures
