"""BibTeX has an entry for each study and each paper once, in full where the paper is known."""

from dataclasses import replace

from equistudy.analysis.findings import build_finding
from equistudy.report.references import format_bibtex
from tests.analysis.synthetic import table

ABOUT = (
    "Bruintjes, Motyka and van Gemert (2023, arXiv:2304.02628) find that it does. "
    "Nobody et al. (2031, arXiv:3101.00001) doubt it."
)
FINDING = build_finding(table(), "capacity", None, ABOUT)


def test_a_study_is_cited_with_commit_date_and_size():
    text = format_bibtex([FINDING], "0.1.0")
    assert text.startswith("@misc{equistudy:capacity,")
    assert "equistudy 0.1.0, study capacity, commit 0123456789ab" in text
    assert "Ran 2026-01-02: 24 networks, 3 seeds, Toy" in text
    assert "{Do smaller networks learn more translation-equivariant features?}" in text


def test_papers_are_cited_once_and_those_that_are_known_in_full():
    text = format_bibtex([FINDING, replace(FINDING, scale="paper")], "0.1.0")
    assert text.count("@misc{") == 2
    assert text.count("@article{arXiv:2304.02628,") == 1
    assert "Robert-Jan Bruintjes and Tomasz Motyka and Jan van Gemert" in text
    assert "author = {Nobody et al.}" in text
    assert "eprint = {3101.00001}" in text
    assert text.count("{") == text.count("}")


def test_what_latex_would_misread_is_escaped():
    assert "50 \\% of A\\&B" in format_bibtex([replace(FINDING, question="50 % of A&B?")], "0.1.0")
