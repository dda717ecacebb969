"""FINDINGS.md: every study as it ran, made from the kept records; and its small figures."""

from collections.abc import Sequence
from typing import Any

from equistudy.analysis.findings import ClaimFinding, StudyFinding
from equistudy.analysis.rounding import format_rounded
from equistudy.analysis.verdicts import VerdictStatus, format_p_value
from equistudy.report.effects import build_effect_frame, draw_effect_chart
from equistudy.report.tables import format_markdown_row
from equistudy.report.theme import render_svg

__all__ = ["draw_findings", "has_picture", "render_findings_page"]

INTRODUCTION = """# Findings

Every study as it last ran, what it did not find included. Made by `{command}` from the rows in
`{kept}`; no number is edited by hand. Effects are within seeds, with Student's 95 % t interval over the seeds; p is
corrected by Holm's method over the claims of a study. *Supported*: the interval lies where the claim says.
*Contradicted*: it lies outside. *Undecided*: neither, or p is not below 0.05.
"""


def render_findings_page(findings: Sequence[StudyFinding], command: str, kept: str) -> str:
    """The text of FINDINGS.md; pictures are `NAME.svg` in the folder `kept`."""
    head = ["study", "data", "date", "commit", "networks", "seeds", "verdicts"]
    rows = [
        [_format_link(f), f.data, f.date, _describe_commits(f), str(f.done), str(len(f.seeds)), _describe_verdicts(f)]
        for f in findings
    ]
    lines = [INTRODUCTION.format(command=command, kept=kept), *_format_table(head, rows)]
    for finding in findings:
        lines += ["", *_render_section(finding, kept)]
    return "\n".join(lines) + "\n"


def _render_section(finding: StudyFinding, kept: str) -> list[str]:
    head = ["claim", "verdict", "effect [95 % interval]", "p", "n"]
    rows = [[_format_claim(claim), claim.status, *_format_numbers(claim)] for claim in finding.claims]
    picture = f"![Effects and intervals of all claims of {finding.name}]({kept}/{finding.name}.svg)"
    return [
        f"## {finding.name}: {finding.question}",
        "",
        *([finding.about, ""] if finding.about else []),
        _describe_run(finding),
        "",
        *([picture, ""] if has_picture(finding) else []),
        *_format_table(head, rows),
    ]


def has_picture(finding: StudyFinding) -> bool:
    """Whether a claim has an effect that can be drawn."""
    return any(claim.effect is not None for claim in finding.claims)


def draw_findings(finding: StudyFinding) -> str:
    """All claims of a finding as SVG."""
    return render_svg(draw_effect_chart(build_effect_frame(finding.claims)))


def _format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [format_markdown_row(row) for row in (head, ["---"] * len(head), *rows)]


def _format_link(finding: StudyFinding) -> str:
    return f"[{finding.name}](#{finding.name}-{_format_anchor(finding.question)})"


def _format_anchor(heading: str) -> str:
    """What GitHub makes of a heading: lower case, without punctuation, hyphens for spaces."""
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _describe_commits(finding: StudyFinding) -> str:
    names = ", ".join(f"`{commit[:7]}`" for commit in finding.commits) or "unknown"
    return f"{names} with changes" if finding.dirty else names


def _describe_verdicts(finding: StudyFinding) -> str:
    counts = [(status, sum(claim.status == status for claim in finding.claims)) for status in VerdictStatus]
    return ", ".join(f"{count} {status}" for status, count in counts if count) or "no claims"


def _describe_run(finding: StudyFinding) -> str:
    """One sentence about the run."""
    failed = f", {finding.failed} failed ({finding.failed_hours:.2f} h)" if finding.failed else ""
    return (
        f"{finding.done} of {finding.planned} networks{failed}, {len(finding.seeds)} seeds, on {finding.data}; "
        f"{finding.date}, commit {_describe_commits(finding)}; {finding.hours:.2f} h of training and measuring on "
        f"{finding.device} ({finding.hardware})."
    )


def _format_claim(claim: ClaimFinding) -> str:
    name = f"{claim.statement} ({claim.source})" if claim.source else claim.statement
    return name.replace("|", "\\|")


def _format_numbers(claim: ClaimFinding) -> list[str]:
    """Effect with interval and unit, p, n."""
    if claim.effect is None:
        return ["no data", "", str(claim.n)]
    half = None if claim.low is None or claim.high is None else (claim.high - claim.low) / 2
    bounds: list[Any] = [] if half is None else [claim.low, claim.high]
    interval = f" [{', '.join(format_rounded(bound, half) for bound in bounds)}]" if bounds else ""
    p = "" if claim.p is None else format_p_value(claim.p).removeprefix("p ").removeprefix("= ")
    return [f"{format_rounded(claim.effect, half)}{interval}, {claim.unit}", p, str(claim.n)]
