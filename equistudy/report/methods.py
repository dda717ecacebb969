"""The method section of a report, generated from specs and rows: design, statistics, provenance, compute."""

import json
import math
from collections.abc import Iterable
from typing import Any

import polars as pl

from equistudy.analysis.contrasts import describe_rank_test_limit
from equistudy.analysis.correlations import RankCorrelation
from equistudy.analysis.summary import summarise_compute
from equistudy.analysis.table import StudyTable
from equistudy.spec import flatten_spec, format_label
from equistudy.study.design import Factor
from equistudy.study.study import Study

__all__ = ["collect_provenance", "collect_settings", "describe_compute", "describe_method", "list_absent_trials"]

MAX_LEVELS = 12  # listed in a sentence

STATISTICS_TEXT = (
    "Each seed is one replicate: trials with the same seed share the initialisation, the data order and the random "
    "augmentation. Effects are therefore differences or slopes within a seed, averaged over the other factors, and "
    "intervals are Student's t intervals over the seeds. A paired effect can be clear even if the intervals of "
    "single cells overlap. A seed that lacks one of the compared trials is left out. A claim is supported when the "
    "95 % interval lies entirely inside the claimed range (on one side of 0 if the claim names no margin) and "
    "contradicted when it lies entirely outside, in both cases only if p, corrected by Holm's method over the claims, "
    "is below 0.05; otherwise it "
    "is undecided. p is from a two-sided t test against the nearest bound of the claimed range; it is undefined when "
    "all seeds agree exactly."
)

RANK_STATISTICS_TEXT = (
    "Claims are rank correlations, whose replicates are the levels of a factor rather than seeds: values are first "
    "averaged over seeds and the other factors. Intervals of Spearman's rho follow Bonett and Wright (2000); where "
    "family means are subtracted from both numbers, each family but one costs one level. A claim is supported when the "
    "95 % interval lies on the claimed side of 0 and contradicted when it lies on the other side, in both cases only "
    "if p, corrected by Holm's method over the claims, is below 0.05; otherwise it is undecided. A level that lacks "
    "one of the two numbers is left out."
)


def describe_method(study: Study, table: StudyTable) -> list[str]:
    """The paragraphs of the method section."""
    factors, seeds = study.design.factors, table.seeds
    combinations = table.design.select(table.factors).n_unique() if factors else 1
    crossed = combinations == math.prod(len(factor.levels) for factor in factors)
    levels = [f"{factor.name} ({_describe_levels(factor)})" for factor in factors]
    design = (
        f"{len(table.design)} trials: {'every combination' if crossed else f'{combinations} combinations'} of "
        f"{' and '.join(levels) or 'no factors'}, with {len(seeds)} seed{'s' * (len(seeds) != 1)}."
    )
    measures = []
    for measure in study.measures:
        rows = table.measurement_rows.filter(pl.col("measure_id") == measure.id)
        on = f", on {_join_values(rows['images'].unique().sort())} test images per network" if len(rows) else ""
        measures.append(f"{measure.title} ({format_label(measure)}, revision {measure.REVISION}{on})")
    ranks = any(isinstance(claim.test, RankCorrelation) for claim in study.claims)
    statistics = RANK_STATISTICS_TEXT if ranks else f"{STATISTICS_TEXT} {describe_rank_test_limit(len(seeds))}".strip()
    return [design, *([f"Measured: {'; '.join(measures)}."] if measures else []), statistics]


def _describe_levels(factor: Factor) -> str:
    """The levels with their unit; long lists are abbreviated."""
    names = [format_label(level) for level in factor.levels]
    if len(names) > MAX_LEVELS:
        names = [*names[:2], f"... {len(names) - 3} more", names[-1]]
    return f"{', '.join(names)}{f' {factor.unit}' if factor.unit else ''}"


def collect_settings(study: Study) -> dict[str, str]:
    """The settings that all trials share, by column name."""
    shared: dict[str, Any] | None = None
    for _, cell in study.design.identified_cells:
        columns = flatten_spec(cell.trial)
        kept = columns if shared is None else shared
        shared = {name: value for name, value in kept.items() if name in columns and columns[name] == value}
    return {name: format_label(value) for name, value in (shared or {}).items()}


def collect_provenance(table: StudyTable) -> dict[str, str]:
    """The provenance of the numbers: code, versions, hardware and hosts, each with all values that occur."""
    ran = table.trials.filter(pl.col("attempt").is_not_null())
    facts = {"seeds": _join_values(table.seeds)}
    for name in ("commit", "dirty", "device", "hardware", "host", "workers", "threads", "precision"):
        if name in ran.columns and ran[name].count():
            facts[name] = _join_values(ran[name].drop_nulls().unique().sort())
    versions: dict[str, set[str]] = {}
    for text in ran["versions"].drop_nulls().unique():
        for package, version in json.loads(text).items():
            versions.setdefault(package, set()).add(str(version))
    return facts | {package: _join_values(sorted(found)) for package, found in sorted(versions.items())}


def describe_compute(table: StudyTable) -> list[str]:
    """A line for each status, including failed trials, and the total."""
    ledger = summarise_compute(table)
    lines = [
        f"{row['status']}: {_format_hours(row)} in {row['trials']} trial{'s' * (row['trials'] != 1)}"
        for row in ledger.rows(named=True)
    ]
    return [*lines, f"total: {_format_hours(ledger.sum().row(0, named=True))}"] if lines else ["Nothing has run yet."]


def _format_hours(row: dict[str, Any]) -> str:
    parts = (row["seconds"], "training"), (row["measuring_seconds"], "measuring"), (row["lost_seconds"], "lost")
    return ", ".join(f"{_format_duration(seconds)} {what}" for seconds, what in parts if seconds or what == "training")


def _format_duration(seconds: float) -> str:
    """`38 s`, `4.2 min`, `1.5 h`."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def list_absent_trials(table: StudyTable, limit: int = 20) -> list[dict[str, str]]:
    """The first trials without a result: their levels and seed, status, and reason."""
    rows = []
    for row in table.absent_trials.sort("status").head(limit).rows(named=True):
        where = ", ".join(
            f"{name}={format_label(row[name])}" for name in (*table.factors, "seed") if row[name] is not None
        )
        why = [str(row[name]).strip().splitlines()[0] for name in ("reason", "message") if row.get(name)]
        rows.append({"trial": row["trial"], "where": where, "status": row["status"], "why": ": ".join(why)})
    return rows


def _join_values(values: Iterable[Any]) -> str:
    return ", ".join(map(format_label, values))
