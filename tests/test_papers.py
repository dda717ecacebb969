"""The table of the papers' claims: each of our numbers is that of a kept result, with its verdict and its seeds."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.test_study_headers import FINDINGS, NUMBER, STUDIES, is_rounding

PAGE = STUDIES.parent / "docs" / "papers.md"
PAPERS = ("2304.02628", "2010.11882", "2308.11316")
OURS = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")
COLUMNS = ("claim", "theirs", "ours", "study", "data", "n", "verdict", "remark")


class Row(NamedTuple):
    """A line of the table: what a paper claims, and what one study found."""

    claim: str
    theirs: str
    ours: str
    study: str
    data: str
    n: str
    verdict: str
    remark: str


def read_rows(path: Path = PAGE) -> list[Row]:
    lines = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Row(*each) for each in cells if len(each) == len(COLUMNS) and "`" in each[3]]


ROWS = read_rows()


def matches_a_claim(row: Row) -> bool:
    """Whether one claim of the named study has the row's effect, interval, seeds and verdict."""
    (texts,) = OURS.findall(row.ours)
    (finding,) = (each for each in FINDINGS if each.name == row.study.strip("`"))
    return any(
        claim.status == row.verdict.strip("*")
        and claim.n == int(row.n)
        and all(map(is_rounding, texts, (claim.effect, claim.low, claim.high)))
        for claim in finding.claims
    )


def test_every_paper_has_its_claims() -> None:
    text = PAGE.read_text()
    assert all(f"arXiv:{paper}" in text for paper in PAPERS)
    assert len(ROWS) >= 20


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.study} {row.ours}" for row in ROWS])
def test_a_row_is_what_the_kept_rows_gave(row: Row) -> None:
    assert matches_a_claim(row), row
    assert row.remark


def test_a_wrong_row_is_noticed() -> None:
    row = next(row for row in ROWS if row.study == "`capacity-all`" and row.verdict == "supported")
    assert not matches_a_claim(row._replace(verdict="undecided"))
    assert not matches_a_claim(row._replace(n="4"))
    assert not matches_a_claim(row._replace(study="`capacity-local`"))
    assert not matches_a_claim(row._replace(ours=row.ours.replace("[0.0", "[0.1")))
