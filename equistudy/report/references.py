"""BibTeX entries for studies as they ran, and for the papers that their files cite by arXiv number."""

import re
from collections.abc import Sequence

from equistudy.analysis.findings import StudyFinding

__all__ = ["format_bibtex"]

CITATION = re.compile(
    r"(?P<authors>[A-Z][^().;:]*?(?: et al\.)?)\s+\((?P<year>\d{4}),\s+arXiv:(?P<number>\d{4}\.\d{5})\)"
)
# Full authors and titles of papers that headers abbreviate.
PAPERS = {
    "2304.02628": (
        "Robert-Jan Bruintjes and Tomasz Motyka and Jan van Gemert",
        "What Affects Learned Equivariance in Deep Image Recognition Models?",
    ),
    "2308.11316": ("Tom Edixhoven and Attila Lengyel and Jan van Gemert", "Using and Abusing Equivariance"),
    "2010.11882": (
        "Gregory Benton and Marc Finzi and Pavel Izmailov and Andrew Gordon Wilson",
        "Learning Invariances in Neural Networks",
    ),
}
LATEX_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in "&%$#_{}"})


def format_bibtex(findings: Sequence[StudyFinding], version: str) -> str:
    """One entry per study, then one per paper that their files cite; `version` is equistudy's."""
    papers: dict[str, str] = {}
    for finding in findings:
        for cited in CITATION.finditer(finding.about):
            papers.setdefault(cited["number"], _format_paper(cited["authors"], cited["year"], cited["number"]))
    return "\n".join([*(_format_study(finding, version) for finding in findings), *papers.values()])


def _format_study(finding: StudyFinding, version: str) -> str:
    counts = f"{finding.done} networks, {len(finding.seeds)} seeds, {finding.data}"
    commits = ", ".join(commit[:12] for commit in finding.commits)
    fields = {
        "title": f"{{{finding.question.translate(LATEX_ESCAPES)}}}",
        "howpublished": f"equistudy {version}, study {finding.name}, commit {commits or 'unknown'}".translate(
            LATEX_ESCAPES
        ),
        "year": finding.date[:4],
        "note": f"Ran {finding.date}: {counts}".translate(LATEX_ESCAPES),
    }
    return _format_entry("misc", f"equistudy:{finding.name}", fields)


def _format_paper(authors: str, year: str, number: str) -> str:
    known, title = PAPERS.get(number, (authors, f"arXiv:{number}"))
    fields = {"author": known, "title": f"{{{title}}}", "year": year, "eprint": number, "archiveprefix": "arXiv"}
    return _format_entry("article", f"arXiv:{number}", fields)


def _format_entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}", ""])
