"""What leaves the results in other forms: the findings beside the code, other trackers, references, an appendix."""

import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from equistudy.analysis.findings import Finding, found, read_findings, written_findings
from equistudy.analysis.table import StudyTable
from equistudy.cli.doctor import version
from equistudy.cli.status import planned, read
from equistudy.cli.study_reference import PROGRAM, Asked
from equistudy.models.timm_model import TimmModel
from equistudy.report.appendix import appendix
from equistudy.report.comparison import write_comparison
from equistudy.report.figures import LearningCurve
from equistudy.report.findings import findings_page, findings_picture, has_picture
from equistudy.report.references import bibtex
from equistudy.report.trackers import TRACKERS, runs_of
from equistudy.results.archive import keep
from equistudy.results.compaction import compact
from equistudy.results.results import Results, results
from equistudy.results.schema import TABLES
from equistudy.results.store import Store
from equistudy.study.file import LoadedStudy

__all__ = ["about", "compared", "export_appendix", "export_bibtex", "export_findings", "export_runs"]

KEPT, RECORDS, PAGE = "kept", "findings.jsonl", "FINDINGS.md"


def export_findings(studies: Sequence[Path], scale: str | None, folder: str, into: Path) -> list[str]:
    """Judges studies on the results and writes FINDINGS.md with pictures and the rows behind it; gives what was said.

    What is known of other studies stays. Without studies everything is written again from what was kept.
    """
    kept = into / KEPT
    records = kept / RECORDS
    known = {each.name: each for each in read_findings(records.read_text())} if records.is_file() else {}
    judged = _judged(studies, scale, folder) if studies else []
    fresh = {finding.name: finding for _, _, finding in judged}
    merged = [finding for _, finding in sorted({**known, **fresh}.items())]
    if not merged:
        raise ValueError(f"Findings are of studies, got none and no {records}. Name study files, or another --into.")
    kept.mkdir(parents=True, exist_ok=True)
    if judged:
        older = [row["trial"] for name, each in known.items() if name not in fresh for row in each.trials]
        _keep_rows(kept, older, results(folder), judged)
    for finding in merged:
        if has_picture(finding):
            (kept / f"{finding.name}.svg").write_text(findings_picture(finding), encoding="utf-8")
    records.write_text(written_findings(merged), encoding="utf-8")
    page = findings_page(merged, f"{PROGRAM} export findings", KEPT)
    (into / PAGE).write_text(page, encoding="utf-8")
    return [f"{into / PAGE}: {len(merged)} studies, {len(fresh)} of them judged now"]


def _keep_rows(
    kept: Path, older: Sequence[str], found_now: Results, judged: Sequence[tuple[LoadedStudy, StudyTable, Finding]]
) -> None:
    """Makes the kept rows anew: those of older findings as they are, and those of the fresh ones."""
    with tempfile.TemporaryDirectory() as made:
        store = Store.open(made, create=True)
        if older:
            keep(results(kept), store, older)
        for loaded, _, finding in judged:
            study = loaded.study
            curves = {figure.name for figure in study.figures if isinstance(figure, LearningCurve)}
            trials = [row["trial"] for row in finding.trials]
            keep(found_now, store, trials, {measure.id for measure in study.measures}, curves)
        compact(store)
        for table in TABLES:
            shutil.rmtree(kept / table.name, ignore_errors=True)
        shutil.copytree(made, kept, dirs_exist_ok=True)


def export_runs(tracker: str, studies: Sequence[Path], scale: str | None, folder: str, into: Path) -> list[str]:
    """Writes trials as runs of another tracker: those of the studies, or all of the results."""
    wanted = [planned(read(Asked(study, scale, folder)), folder)[1] for study in studies]
    trials = [trial.id for made in wanted for trial in made.trials] if studies else None
    runs = runs_of(results(folder), trials)
    if not runs:
        raise ValueError(f"An export is of trials that have run, got none in {folder}. Run a study first.")
    TRACKERS[tracker](runs, into)
    return [f"{into}: {len(runs)} runs for {tracker}"]


def export_bibtex(studies: Sequence[Path], scale: str | None, folder: str, into: Path) -> list[str]:
    """Writes `studies.bib`: the studies as they ran, and the papers that their files name."""
    loaded = _judged(studies, scale, folder)
    path = into / "studies.bib"
    into.mkdir(parents=True, exist_ok=True)
    path.write_text(
        bibtex([finding for _, _, finding in loaded], version("equistudy") or "unreleased"), encoding="utf-8"
    )
    return [f"{path}: {len(loaded)} studies"]


def export_appendix(studies: Sequence[Path], scale: str | None, folder: str, into: Path) -> list[str]:
    """Writes `NAME-appendix.md` for each study: compute with failures, seeds, versions, licences."""
    told = []
    into.mkdir(parents=True, exist_ok=True)
    for study, table, finding in _judged(studies, scale, folder):
        path = into / f"{finding.name}-appendix.md"
        path.write_text(appendix(finding.name, table, _weights(study)), encoding="utf-8")
        told.append(str(path))
    return told


def _judged(studies: Sequence[Path], scale: str | None, folder: str) -> list[tuple[LoadedStudy, StudyTable, Finding]]:
    """Each study with its table and what it found."""
    if not studies:
        raise ValueError(f"This export is of studies, got none. Name study files: {PROGRAM} export FORM STUDY...")
    loaded = []
    for path in studies:
        study = planned(read(Asked(path, scale, folder)), folder)[0]
        with study.blamed():
            table = StudyTable.of(study.study, results(folder))
            loaded.append((study, table, found(table, study.name, scale, about(study.module.__doc__ or ""))))
    return loaded


def _weights(loaded: LoadedStudy) -> dict[str, str]:
    """The pretrained networks of a study with the licences of their weights."""
    models = {cell.trial.model for cell in loaded.study.design.cells()}
    names = sorted(model.name for model in models if isinstance(model, TimmModel) and model.pretrained)
    if not names:
        return {}
    from equistudy.networks.timm_network import licence

    return {name: licence(name) or "none stated by timm" for name in names}


def compared(studies: Sequence[Path], folder: str) -> list[str]:
    """Writes the page that compares studies, beside their reports; gives its path."""
    if len({path.stem for path in studies}) < 2:
        raise ValueError(f"A comparison is of two studies or more, got {len(studies)}. Name another study file.")
    loaded = [planned(read(Asked(path, None, folder)), folder)[0] for path in studies]
    there = results(folder)
    tables = {study.name: StudyTable.of(study.study, there) for study in loaded}
    place = Path(there.store.url) if there.store.local else Path()
    command = f"{PROGRAM} {shlex.join(['compare', *map(str, studies), '--results', folder])}"
    name = "-".join(["comparison", *tables])
    return [f"Comparison: {write_comparison(tables, there.measurements.collect(), command, place / 'reports' / name)}"]


def about(header: str) -> str:
    """What the header of a study's file says beside its question, its commands and its finding."""
    paragraphs = re.split(r"\n\s*\n", header.strip())[1:]
    told = [part for part in paragraphs if not part.startswith((" ", "Found"))]
    return "\n\n".join(" ".join(part.split()) for part in told)
