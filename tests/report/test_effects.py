"""All claims at one glance: the numbers of the verdicts, comparable effects on one axis."""

import pytest

from equistudy.analysis.claims import Contrast, Trend
from equistudy.analysis.findings import build_claim_findings
from equistudy.analysis.trial_numbers import Score
from equistudy.analysis.verdicts import judge_claims
from equistudy.report.effects import build_effect_frame, draw_effect_chart
from equistudy.study.study import Claim, Verdict
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study, table

ACCURATE = Score("test_accuracy")
CLAIMS = (
    Claim("falls with width", Trend(CORRELATION, WIDTH, expected="decreasing")),
    Claim("rises with crops", Contrast(CORRELATION, CROP, CROP.levels[1], CROP.levels[0], expected="increasing")),
    Claim("far from it", Contrast(CORRELATION, CROP, CROP.levels[1], CROP.levels[0], expected="increasing", margin=1)),
    Claim("accuracy", Contrast(ACCURATE, CROP, CROP.levels[1], CROP.levels[0], expected="decreasing")),
)


@pytest.fixture(scope="module")
def judged():
    return build_claim_findings(judge_claims(study(claims=CLAIMS), table()), table())


def test_a_row_holds_the_numbers_of_its_verdict(judged):
    frame = build_effect_frame(judged)
    for row, (claim, verdict) in zip(frame.rows(named=True), judge_claims(study(claims=CLAIMS), table()), strict=True):
        scale = 100 if claim.statement == "accuracy" else 1
        assert row["claim"] == claim.statement
        assert row["status"] == verdict.status
        assert [row["value"], row["low"], row["high"]] == pytest.approx([scale * x for x in verdict[2:5]])
    assert frame["bound"].to_list() == [0.0, 0.0, 1.0, 0.0]


def test_effects_that_cannot_be_compared_have_axes_of_their_own(judged):
    frame = build_effect_frame(judged)
    assert frame["unit"].to_list() == ["slope per doubling of width", "difference", "difference", "difference (points)"]
    chart = draw_effect_chart(frame).to_dict()
    assert [len(part["layer"]) for part in chart["vconcat"]] == [3, 3, 3]


def test_the_verdict_is_told_by_form_as_well_as_by_colour(judged):
    points = draw_effect_chart(build_effect_frame(judged)).to_dict()["vconcat"][1]["layer"][2]["encoding"]
    assert points["shape"]["scale"]["range"] == ["circle", "cross", "circle"]
    assert points["fill"]["scale"]["range"][2] == "transparent"


def test_a_claim_without_an_effect_has_no_row():
    assert build_effect_frame(
        build_claim_findings([(CLAIMS[0], Verdict("undecided", "nothing yet"))], table())
    ).is_empty()
