"""A record holds what the verdicts hold, and reads back as it was written."""

import math
from dataclasses import replace

import polars as pl
import pytest

from equistudy.analysis.claims import Contrast, Trend, Value
from equistudy.analysis.findings import build_claim_findings, build_finding, format_findings, parse_findings
from equistudy.analysis.intervals import t_interval
from equistudy.analysis.trial_numbers import Score
from equistudy.analysis.verdicts import judge_claims
from equistudy.study.study import Claim
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study, table

ACCURATE = Score("test_accuracy")
CLAIMS = (
    Claim("falls", Trend(CORRELATION, WIDTH, expected="decreasing", within=((CROP, CROP.levels[1]),)), source="paper"),
    Claim("rises", Contrast(ACCURATE, CROP, CROP.levels[1], CROP.levels[0], expected="increasing", margin=0.01)),
    Claim("stays", Value(CORRELATION, expected="unchanged", than=0.9, margin=0.1)),
)
OF = study(claims=CLAIMS)


def test_a_claim_keeps_its_numbers_and_the_effects_behind_them():
    for record, (claim, verdict) in zip(
        build_claim_findings(judge_claims(OF, table(OF)), table(OF)), judge_claims(OF, table(OF)), strict=True
    ):
        scale = 100 if claim.test.outcomes[0].share else 1
        interval = t_interval(record.effects)
        assert (record.status, record.sentence, record.p, record.n) == (verdict.status, verdict.sentence, verdict.p, 3)
        assert [record.effect, record.low, record.high] == pytest.approx([scale * x for x in verdict[2:5]])
        assert interval[:3] == pytest.approx((record.effect, record.low, record.high))


def test_units_and_bounds_say_what_is_claimed():
    falls, rises, stays = build_claim_findings(judge_claims(OF, table(OF)), table(OF))
    assert falls.comparison == "per doubling of width, at augmentation Crop"
    assert (falls.unit, falls.low_claimed, falls.high_claimed) == ("slope per doubling of width", None, 0.0)
    assert (rises.unit, rises.low_claimed, rises.high_claimed) == ("difference (points)", pytest.approx(1.0), None)
    assert (stays.unit, stays.low_claimed, stays.high_claimed) == ("value", pytest.approx(0.8), pytest.approx(1.0))


def test_a_finding_counts_what_ran_and_what_it_cost():
    of = table(OF, absent={0: "failed", 5: "missing"})
    finding = build_finding(of, "capacity", None, "about it")
    assert (finding.planned, finding.done, finding.failed) == (24, 22, 1)
    assert finding.hours == pytest.approx(23 * 13 / 3600)
    assert finding.failed_hours == pytest.approx(13 / 3600)
    assert finding.seeds == [0, 1, 2]
    assert len(finding.trials) == 23
    assert finding.trials[0] == {**of.design.row(0, named=True)}
    assert (finding.commits, finding.dirty, finding.device) == (["0123456789abcdef"], False, "cpu")
    assert finding.name == "capacity"
    assert build_finding(of, "capacity", "paper", "").name == "capacity-paper"


def test_records_read_back_as_they_were_written():
    findings = [build_finding(table(OF), name, None, "text\nwith | marks") for name in ("b", "a")]
    again = parse_findings(format_findings(findings))
    assert again == findings[::-1]
    assert all(math.isfinite(claim.effect) for each in again for claim in each.claims)


def test_nothing_that_ran_is_no_finding():
    of = study()
    with pytest.raises(
        ValueError, match=r"A finding needs at least one finished trial, got none of the 24 of capacity\. Run"
    ):
        build_finding(table(of, absent=dict.fromkeys(range(24), "missing")), "capacity", None, "")


def test_values_of_other_revisions_alone_are_no_finding():
    of = table(OF)
    old = replace(of, measurement_rows=of.measurement_rows.with_columns(measure_id=pl.lit("m_old")))
    with pytest.raises(
        ValueError, match=r"needs values of the current revisions of the study's measures, got none for capacity"
    ):
        build_finding(old, "capacity", None, "")
