"""FINDINGS.md says what the records say."""

import re

from equistudy.analysis.findings import ClaimFinding, build_finding
from equistudy.report.findings import draw_findings, has_picture, render_findings_page
from tests.analysis.synthetic import table

FINDING = build_finding(table(), "capacity", None, "The paper finds that it falls.")
COMMAND = "python -m equistudy export findings"


def test_the_page_has_a_row_and_a_section_for_each_study():
    page = render_findings_page([FINDING], COMMAND, "kept")
    assert COMMAND in page
    assert "| Toy | 2026-01-02 | `0123456` | 24 | 3 | 1 supported |" in page
    assert "## capacity: Do smaller networks learn more translation-equivariant features?" in page
    assert "The paper finds that it falls." in page
    assert "24 of 24 networks, 3 seeds, on Toy;" in page
    assert "2026-01-02, commit `0123456`; 0.09 h of training and measuring on cpu (2 cores)." in page
    assert "![Effects and intervals of all claims of capacity](kept/capacity.svg)" in page


def test_the_numbers_are_those_of_the_record():
    (claim,) = FINDING.claims
    row = next(
        line
        for line in render_findings_page([FINDING], COMMAND, "kept").splitlines()
        if line.startswith("| capacity d")
    )
    effect, low, high = map(
        float, re.search(r"\| supported \| (\S+) \[(\S+), (\S+)\], slope per doubling", row).groups()
    )
    assert abs(effect - claim.effect) < 1e-3
    assert abs(low - claim.low) < 1e-3
    assert abs(high - claim.high) < 1e-3
    assert row.endswith("| < 0.001 | 3 |")


def test_the_link_is_the_heading_as_github_anchors_it():
    page = render_findings_page([FINDING], COMMAND, "kept")
    assert "(#capacity-do-smaller-networks-learn-more-translation-equivariant-features)" in page


def test_failures_and_changes_of_the_code_are_not_hidden():
    of = build_finding(table(absent={0: "failed"}), "capacity", None, "")
    page = render_findings_page([of.__class__(**{**vars(of), "dirty": True})], COMMAND, "kept")
    assert "23 of 24 networks, 1 failed (0.00 h), 3 seeds" in page
    assert "`0123456` with changes" in page


def test_a_claim_without_data_is_listed_and_not_drawn():
    empty = ClaimFinding("a | b", None, "x", "", "effect", "undecided", "No seed yet.", *[None] * 4, 0, None, 0.0, [])
    of = FINDING.__class__(**{**vars(FINDING), "claims": [empty]})
    assert "| a \\| b | undecided | no data |  | 0 |" in render_findings_page([of], COMMAND, "kept")
    assert not has_picture(of)
    assert has_picture(FINDING)


def test_the_picture_is_small():
    drawn = draw_findings(FINDING)
    assert drawn.startswith("<svg")
    assert "capacity down" in drawn
    assert len(drawn) < 20_000
