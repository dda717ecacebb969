"""Verdicts and figures of what is finished so far."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from equistudy.analysis.table import DONE, StudyTable, level_value
from equistudy.analysis.verdicts import judge_claims
from equistudy.report.figures import LayerProfile, LearningCurve
from equistudy.report.theme import inline_svg, render_svg
from equistudy.study.study import Figure, Study

__all__ = ["build_analysis", "draw_cell"]

CURVES_FIRST = ("loss", "accuracy")
MAX_CURVES = 3  # curves of a cell
MAX_COLORS = 8  # levels that a colour can tell apart


def build_analysis(study: Study, table: StudyTable) -> dict[str, Any]:
    """The verdict on each claim and the figures, with the number of trials and seeds behind them."""
    done = int((table.trials["status"] == DONE).sum())
    verdicts = judge_claims(study, table) if done else []
    return {
        "done": done,
        "total": table.trials.height,
        "verdicts": [
            {
                "claim": claim.statement,
                "source": claim.source,
                "status": verdict.status,
                "sentence": verdict.sentence,
                "n": verdict.n,
            }
            for claim, verdict in verdicts
        ],
        "figures": draw_figures(_choose_figures(study, table), table, "f") if done else [],
    }


def draw_cell(study: Study, table: StudyTable, levels: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The learning curves and layer profiles of one cell over its seeds."""
    factors = study.design.factors
    values = {f.name: None if levels.get(f.name) is None else level_value(f, levels[f.name]) for f in factors}
    cell = table.restrict_to(values)
    curves = [LearningCurve(name) for name in _list_curve_names(cell.curves["name"].unique())[:MAX_CURVES]]
    return draw_figures([*curves, *_list_profiles(study, cell)], cell, "c")


def draw_figures(figures: Sequence[Figure], table: StudyTable, prefix: str) -> list[dict[str, Any]]:
    """Each figure with its title, caption and drawing, or the reason why there is none."""
    return [_draw_figure(figure, table, f"{prefix}{number}") for number, figure in enumerate(figures, 1)]


def _draw_figure(figure: Figure, table: StudyTable, prefix: str) -> dict[str, Any]:
    title = str(getattr(figure, "title", "Figure"))
    drawn: dict[str, Any] = {"title": title, "caption": "", "svg": None}
    try:
        frame = figure.frame(table)
        if frame.is_empty():
            return {**drawn, "caption": "No finished trial has data for this figure yet."}
        caption = figure.caption(frame) if hasattr(figure, "caption") else ""
        svg = inline_svg(render_svg(figure.draw(frame)), prefix, f"{title}. {caption}")
    except Exception as error:  # of any kind: a study's figure may be anybody's code, and must not end the page
        return {**drawn, "caption": f"This figure cannot be drawn yet. {type(error).__name__}: {error}"}
    return {**drawn, "caption": caption, "svg": svg}


def _choose_figures(study: Study, table: StudyTable) -> list[Figure]:
    """Learning curves and a layer profile, where the study declares none, and the study's own figures."""
    color = next((f for f in study.design.factors if 1 < len(f.levels) <= MAX_COLORS), None)
    own = list(study.figures)
    added: list[Figure] = []
    if not any(isinstance(figure, LearningCurve) for figure in own):
        added += [LearningCurve(name, color) for name in _list_curve_names(table.curve_rows["name"].unique())[:1]]
    if not any(isinstance(figure, LayerProfile) for figure in own):
        added += [LayerProfile(profile.y, color) for profile in _list_profiles(study, table)[:1]]
    return [*added, *own]


def _list_curve_names(names: Iterable[str]) -> list[str]:
    """The names of the curves, those first that people look at first."""
    found = sorted(set(names))
    return [*(name for name in CURVES_FIRST if name in found), *(name for name in found if name not in CURVES_FIRST)]


def _list_profiles(study: Study, table: StudyTable) -> list[LayerProfile]:
    """A profile of each measure that has values at several stages."""
    rows = table.measurements.select("measure_id", "stage").unique().drop_nulls()
    stages = Counter(rows["measure_id"])
    return [LayerProfile(measure) for measure in study.measures if stages[measure.id] > 1]
