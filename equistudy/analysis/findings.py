"""Records of what a study found: each claim with its verdict and the effects behind it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import polars as pl

from equistudy.analysis.effect_test import EffectTest
from equistudy.analysis.outcome import Outcome
from equistudy.analysis.summary import summarise_compute
from equistudy.analysis.table import DONE, StudyTable
from equistudy.analysis.verdicts import judge_claims
from equistudy.spec import format_label
from equistudy.study.study import Claim, Verdict, format_study_name

__all__ = ["ClaimFinding", "StudyFinding", "build_claim_findings", "build_finding", "format_findings", "parse_findings"]


@dataclass(frozen=True)
class ClaimFinding:
    """One claim: what was compared, the verdict, and `effects`, one number per seed if the test has them.

    Effects of the same `unit` may be compared; fractions of images are in percentage points. `low_claimed` and
    `high_claimed` bound the claimed range; None stands for no bound.
    """

    statement: str
    source: str | None
    outcome: str
    comparison: str
    unit: str
    status: str
    sentence: str
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    low_claimed: float | None
    high_claimed: float | None
    effects: list[float]


@dataclass(frozen=True)
class StudyFinding:
    """A study as it ran. `about` is the text in its file's docstring; `hours` are of training and measuring.

    `trials` has one record per row of the design that ran: trial, seed, and the level of each factor. `measures` are
    the ids of the study's measures at that time, in order.
    """

    study: str
    scale: str | None
    question: str
    about: str
    data: str
    date: str
    commits: list[str]
    dirty: bool
    hardware: str
    device: str
    hours: float
    failed_hours: float
    planned: int
    done: int
    failed: int
    seeds: list[int]
    trials: list[dict[str, Any]]
    measures: list[str]
    claims: list[ClaimFinding]

    @property
    def name(self) -> str:
        """The name of the study, followed by its scale unless it is the default."""
        return format_study_name(self.study, self.scale)


def build_finding(table: StudyTable, study: str, scale: str | None, about: str) -> StudyFinding:
    """The record of a table's current results. Raises ValueError if nothing has run."""
    ran = table.trials.filter(pl.col("attempt").is_not_null()).unique("trial", maintain_order=True)
    if ran.is_empty():
        raise ValueError(
            f"A finding needs at least one finished trial, got none of the {len(table.design)} of {study}. "
            "Run the study first, or check --results and --scale."
        )
    ids = [measure.id for measure in table.study.measures]
    rows = table.measurement_rows
    if ids and len(rows) and rows.filter(pl.col("measure_id").is_in(ids)).is_empty():
        raise ValueError(
            f"A finding needs values of the current revisions of the study's measures, got none for {study}. Run the "
            "study again: it measures the stored networks without training."
        )
    ledger = summarise_compute(table)
    spent = ledger.select("status", hours=pl.sum_horizontal("seconds", "measuring_seconds", "lost_seconds") / 3600)
    hours = dict(spent.iter_rows())
    counts = dict(ran["status"].value_counts().iter_rows())
    return StudyFinding(
        study,
        scale,
        table.study.question,
        about,
        ", ".join(sorted({type(cell.trial.dataset).__name__ for cell in table.study.design.cells()})),
        str(ran["finished"].max())[:10],
        ran["commit"].drop_nulls().unique().sort().to_list(),
        bool(ran["dirty"].fill_null(value=False).any()),
        _join_values(ran, "hardware"),
        _join_values(ran, "device"),
        sum(hours.values()),
        sum(number for status, number in hours.items() if status != DONE),
        len(table.design),
        counts.get(DONE, 0),
        sum(number for status, number in counts.items() if status != DONE),
        list(table.seeds),
        table.design.filter(pl.col("trial").is_in(ran["trial"].implode())).to_dicts(),
        ids,
        build_claim_findings(judge_claims(table.study, table), table),
    )


def build_claim_findings(judged: Sequence[tuple[Claim, Verdict]], table: StudyTable) -> list[ClaimFinding]:
    """The records of the judged claims of a table."""
    return [_build_claim_finding(claim, verdict, table) for claim, verdict in judged]


def _build_claim_finding(claim: Claim, verdict: Verdict, table: StudyTable) -> ClaimFinding:
    test: Any = claim.test
    outcomes: Sequence[Outcome] = getattr(test, "outcomes", ())
    own = isinstance(test, EffectTest)
    over_seeds = own and not test.units
    points = over_seeds and outcomes[0].share
    unit = test.effect_unit if own else "effect"
    scale = 100.0 if points else 1.0
    effects = list(verdict.effects) if over_seeds else []
    ends = getattr(test, "claimed_range", (None, None))
    effect, low, high = (_scale_if_finite(number, scale) for number in (verdict.effect, verdict.low, verdict.high))
    low_claimed, high_claimed = (_scale_if_finite(end, scale) for end in ends)
    return ClaimFinding(
        claim.statement,
        claim.source,
        " and ".join(outcome.title for outcome in outcomes),
        f"{test.comparison}{test.within_text}" if own else "",
        f"{unit} (points)" if points else unit,
        str(verdict.status),
        verdict.sentence,
        effect,
        low,
        high,
        verdict.p,
        verdict.n,
        low_claimed,
        high_claimed,
        [scale * number for number in effects],
    )


def _scale_if_finite(number: float | None, scale: float) -> float | None:
    return None if number is None or math.isinf(number) else scale * number


def _join_values(rows: pl.DataFrame, column: str) -> str:
    return ", ".join(map(format_label, rows[column].drop_nulls().unique().sort())) if column in rows.columns else ""


def format_findings(findings: Sequence[StudyFinding]) -> str:
    """The records as JSON lines, sorted by name."""
    ordered = sorted(findings, key=lambda finding: finding.name)
    return "".join(json.dumps(asdict(finding), sort_keys=True) + "\n" for finding in ordered)


def parse_findings(text: str) -> list[StudyFinding]:
    """The records in a text of JSON lines."""
    return [_parse_finding(json.loads(line)) for line in text.splitlines()]


def _parse_finding(record: Mapping[str, Any]) -> StudyFinding:
    known = {field.name for field in fields(StudyFinding)}
    plain = {name: value for name, value in record.items() if name in known}
    return StudyFinding(**{**plain, "claims": [ClaimFinding(**claim) for claim in record["claims"]]})
