"""The page's verdicts and figures are those of the report, of what is finished so far."""

import json
from dataclasses import replace

import pytest

from equistudy.analysis.verdicts import judge_claims
from equistudy.report.figures import Curve
from equistudy.watch.analysis import build_analysis, draw_cell
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study, table


@pytest.fixture(autouse=True)
def quick_svg(monkeypatch):
    """Rendering takes most of the time and is tested with the report."""
    monkeypatch.setattr("equistudy.watch.analysis.render_svg", lambda chart: f"<svg >{chart.to_json()}</svg>")


@pytest.mark.parametrize("missing", [0, 5, 23])
def test_verdicts_are_those_of_the_analysis(missing):
    of = study()
    made = table(of, absent=dict.fromkeys(range(24 - missing, 24), "missing"))
    found = build_analysis(of, made)
    assert (found["done"], found["total"]) == (24 - missing, 24)
    ((claim, verdict),) = judge_claims(of, made)
    shown = {"claim": claim.statement, "source": None, "status": verdict.status, "n": verdict.n}
    assert found["verdicts"] == [shown | {"sentence": verdict.sentence}]
    json.dumps(found, allow_nan=False)


def test_nothing_is_judged_before_a_trial_is_done():
    of = study()
    found = build_analysis(of, table(of, absent=dict.fromkeys(range(24), "missing")))
    assert found == {"done": 0, "total": 24, "verdicts": [], "figures": []}


def test_curves_and_profiles_are_drawn_where_the_study_declares_none():
    of = study(figures=(Curve(CORRELATION, WIDTH, CROP),))
    titles = [figure["title"] for figure in build_analysis(of, table(of))["figures"]]
    assert titles[0] == "accuracy during training by width"
    assert "along the network" in titles[1]
    assert titles[2] == of.figures[0].title


class Broken(Curve):
    def draw(self, frame):
        raise RuntimeError("<b>wrong</b>")


def test_a_figure_that_fails_says_so_and_ends_nothing():
    of = study(figures=(Broken(CORRELATION, WIDTH), Curve(CORRELATION, WIDTH)))
    *_, broken, whole = build_analysis(of, table(of))["figures"]
    assert broken["caption"] == "This figure cannot be drawn yet. RuntimeError: <b>wrong</b>"
    assert broken["svg"] is None
    assert whole["svg"].startswith("<svg")


def test_a_cell_shows_its_own_seeds():
    of = study()
    made = table(of)
    cell = next(iter(of.design.cells()))
    figures = draw_cell(of, made, cell.levels)
    assert figures[0]["title"] == "accuracy during training"
    assert "3 seeds" in figures[0]["caption"]
    assert "along the network" in figures[1]["title"]


def test_a_cell_without_trials_has_no_figures():
    of = study()
    made = table(of, absent=dict.fromkeys(range(24), "missing"))
    assert draw_cell(of, made, next(iter(of.design.cells())).levels) == []


def test_a_study_without_claims_has_figures_alone():
    of = replace(study(), claims=())
    found = build_analysis(of, table(of))
    assert found["verdicts"] == []
    assert found["figures"]
