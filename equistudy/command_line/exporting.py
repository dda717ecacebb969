"""What leaves the results in other forms: the findings beside the code, other trackers, references, an appendix."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from equistudy.analysis.findings import Finding, found, read_findings, written_findings
from equistudy.analysis.table import StudyTable
from equistudy.command_line.asked import PROGRAM, Asked
from equistudy.command_line.standing import planned, read
from equistudy.report.figures import LearningCurve
from equistudy.report.findings import findings_page, findings_picture, has_picture
from equistudy.results.compaction import compact
from equistudy.results.keeping import keep
from equistudy.results.results import Results, results
from equistudy.results.schema import TABLES
from equistudy.results.store import Store
from equistudy.study.file import LoadedStudy

__all__ = ["about", "export_findings"]

KEPT, RECORDS, PAGE = "kept", "findings.jsonl", "FINDINGS.md"


def export_findings(studies: Sequence[Path], scale: str | None, folder: str, into: Path) -> list[str]:
    """Judges studies on the results and writes FINDINGS.md with pictures and the rows behind it; gives what was said.

    What is known of other studies stays. Without studies everything is written again from what was kept.
    """
    kept = into / KEPT
    records = kept / RECORDS
    known = {each.name: each for each in read_findings(records.read_text())} if records.is_file() else {}
    loaded = [planned(read(Asked(study, scale, folder)), folder)[0] for study in studies]
    fresh: dict[str, Finding] = {}
    for study in loaded:
        with study.blamed():
            table = StudyTable.of(study.study, results(folder))
            finding = found(table, study.name, scale, about(study.module.__doc__ or ""))
        fresh[finding.name] = finding
    merged = [finding for _, finding in sorted({**known, **fresh}.items())]
    if not merged:
        raise ValueError(f"Findings are of studies, got none and no {records}. Name study files, or another --into.")
    kept.mkdir(parents=True, exist_ok=True)
    if loaded:
        older = [row["trial"] for name, each in known.items() if name not in fresh for row in each.trials]
        _keep_rows(kept, older, results(folder), [*zip(loaded, fresh.values(), strict=True)])
    for finding in merged:
        if has_picture(finding):
            (kept / f"{finding.name}.svg").write_text(findings_picture(finding), encoding="utf-8")
    records.write_text(written_findings(merged), encoding="utf-8")
    page = findings_page(merged, f"{PROGRAM} export findings", KEPT)
    (into / PAGE).write_text(page, encoding="utf-8")
    return [f"{into / PAGE}: {len(merged)} studies, {len(fresh)} of them judged now"]


def _keep_rows(
    kept: Path, older: Sequence[str], found_now: Results, fresh: Sequence[tuple[LoadedStudy, Finding]]
) -> None:
    """Makes the kept rows anew: those of older findings as they are, and those of the fresh ones."""
    with tempfile.TemporaryDirectory() as made:
        store = Store.open(made, create=True)
        if older:
            keep(results(kept), store, older)
        for loaded, finding in fresh:
            study = loaded.study
            curves = {figure.name for figure in study.figures if isinstance(figure, LearningCurve)}
            trials = [row["trial"] for row in finding.trials]
            keep(found_now, store, trials, {measure.id for measure in study.measures}, curves)
        compact(store)
        for table in TABLES:
            shutil.rmtree(kept / table.name, ignore_errors=True)
        shutil.copytree(made, kept, dirs_exist_ok=True)


def about(header: str) -> str:
    """What the header of a study's file says beside its question, its commands and its finding."""
    paragraphs = re.split(r"\n\s*\n", header.strip())[1:]
    told = [part for part in paragraphs if not part.startswith((" ", "Found"))]
    return "\n\n".join(" ".join(part.split()) for part in told)
