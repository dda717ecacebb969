"""What leaves the results in other forms: the findings beside the code, other trackers, references, an appendix."""

import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from equistudy.analysis.findings import StudyFinding, build_finding, format_findings, parse_findings
from equistudy.analysis.table import StudyTable
from equistudy.cli.doctor import get_version
from equistudy.cli.status import load_requested_study, plan_study
from equistudy.cli.study_reference import PROGRAM, StudyReference
from equistudy.models.timm_model import TimmModel
from equistudy.report.appendix import format_appendix
from equistudy.report.comparison import write_comparison
from equistudy.report.figures import LearningCurve
from equistudy.report.findings import draw_findings, has_picture, render_findings_page
from equistudy.report.references import format_bibtex
from equistudy.report.trackers import TRACKERS, collect_runs
from equistudy.results import results
from equistudy.results.compaction import compact
from equistudy.results.export import archive_rows
from equistudy.results.reader import Results
from equistudy.results.schema import TABLES
from equistudy.results.store import Store
from equistudy.study.file import LoadedStudy

__all__ = [
    "export_appendix",
    "export_bibtex",
    "export_findings",
    "export_runs",
    "extract_description",
    "plan_comparison",
]

KEPT, RECORDS, PAGE = "kept", "findings.jsonl", "FINDINGS.md"


def export_findings(studies: Sequence[Path], scale: str | None, folder: str, into: Path) -> list[str]:
    """Judges studies on the results and writes FINDINGS.md with pictures and the rows behind it; gives what was said.

    What is known of other studies stays. Without studies everything is written again from what was kept.
    """
    kept = into / KEPT
    records = kept / RECORDS
    known = {each.name: each for each in parse_findings(records.read_text())} if records.is_file() else {}
    judged = _judge_studies(studies, scale, folder) if studies else []
    fresh = {finding.name: finding for _, _, finding in judged}
    merged = [finding for _, finding in sorted({**known, **fresh}.items())]
    if not merged:
        raise ValueError(
            f"There is nothing to export: no study was named and {records} does not exist. Name study files, or "
            "another --into."
        )
    kept.mkdir(parents=True, exist_ok=True)
    if judged:
        older = [row["trial"] for name, each in known.items() if name not in fresh for row in each.trials]
        _rebuild_archive(kept, older, results(folder), judged)
    for finding in merged:
        if has_picture(finding):
            (kept / f"{finding.name}.svg").write_text(draw_findings(finding), encoding="utf-8")
    records.write_text(format_findings(merged), encoding="utf-8")
    page = render_findings_page(merged, f"{PROGRAM} export findings", KEPT)
    (into / PAGE).write_text(page, encoding="utf-8")
    return [f"{into / PAGE}: {len(merged)} studies, {len(fresh)} of them judged now"]


def _rebuild_archive(
    kept: Path, older: Sequence[str], found_now: Results, judged: Sequence[tuple[LoadedStudy, StudyTable, StudyFinding]]
) -> None:
    """Makes the kept rows anew: those of older findings as they are, and those of the fresh ones."""
    with tempfile.TemporaryDirectory() as made:
        store = Store.open(made, create=True)
        if older:
            archive_rows(results(kept), store, older)
        for loaded, _, finding in judged:
            study = loaded.study
            curves = {figure.name for figure in study.figures if isinstance(figure, LearningCurve)}
            trials = [row["trial"] for row in finding.trials]
            archive_rows(found_now, store, trials, {measure.id for measure in study.measures}, curves)
        compact(store)
        for table in TABLES:
            shutil.rmtree(kept / table.name, ignore_errors=True)
        shutil.copytree(made, kept, dirs_exist_ok=True)


def export_runs(tracker: str, studies: Sequence[Path], scale: str | None, folder: str, into: Path) -> list[str]:
    """Writes trials as runs of another tracker: those of the studies, or all of the results."""
    wanted = [plan_study(load_requested_study(StudyReference(study, scale, folder)), folder)[1] for study in studies]
    trials = [trial.id for made in wanted for trial in made.trials] if studies else None
    runs = collect_runs(results(folder), trials)
    if not runs:
        raise ValueError(f"There are no finished trials to export in {folder}. Run a study first.")
    TRACKERS[tracker](runs, into)
    return [f"{into}: {len(runs)} runs for {tracker}"]


def export_bibtex(studies: Sequence[Path], scale: str | None, folder: str, into: Path) -> list[str]:
    """Writes `studies.bib`: the studies as they ran, and the papers that their files name."""
    loaded = _judge_studies(studies, scale, folder)
    path = into / "studies.bib"
    into.mkdir(parents=True, exist_ok=True)
    path.write_text(
        format_bibtex([finding for _, _, finding in loaded], get_version("equistudy") or "unreleased"), encoding="utf-8"
    )
    return [f"{path}: {len(loaded)} studies"]


def export_appendix(studies: Sequence[Path], scale: str | None, folder: str, into: Path) -> list[str]:
    """Writes `NAME-appendix.md` for each study: compute with failures, seeds, versions, licences."""
    told = []
    into.mkdir(parents=True, exist_ok=True)
    for study, table, finding in _judge_studies(studies, scale, folder):
        path = into / f"{finding.name}-appendix.md"
        path.write_text(format_appendix(finding.name, table, _find_weight_licences(study)), encoding="utf-8")
        told.append(str(path))
    return told


def _judge_studies(
    studies: Sequence[Path], scale: str | None, folder: str
) -> list[tuple[LoadedStudy, StudyTable, StudyFinding]]:
    """Each study with its table and what it found."""
    if not studies:
        raise ValueError(
            f"This export needs at least one study, got none. Name study files: {PROGRAM} export FORM STUDY..."
        )
    _check_names(studies)
    loaded = []
    for path in studies:
        study = plan_study(load_requested_study(StudyReference(path, scale, folder)), folder)[0]
        with study.blame_study_code():
            table = StudyTable.from_results(study.study, results(folder))
            loaded.append(
                (study, table, build_finding(table, study.name, scale, extract_description(study.module.__doc__ or "")))
            )
    return loaded


def _check_names(studies: Sequence[Path]) -> None:
    """ValueError for two files of one name: records, pages and citations tell studies apart by it."""
    known: dict[str, Path] = {}
    for path in studies:
        other = known.setdefault(path.stem, path)
        if other is not path:
            raise ValueError(
                f"Study files must have different names, got {other} and {path}. Rename one of them, or name each "
                "study once."
            )


def _find_weight_licences(loaded: LoadedStudy) -> dict[str, str]:
    """The pretrained networks of a study with the licences of their weights."""
    models = {cell.trial.model for cell in loaded.study.design.cells()}
    names = sorted(model.name for model in models if isinstance(model, TimmModel) and model.pretrained)
    if not names:
        return {}
    from equistudy.networks.timm_network import get_licence

    return {name: get_licence(name) or "none stated by timm" for name in names}


def plan_comparison(studies: Sequence[Path], folder: str) -> list[str]:
    """Writes the page that compares studies, beside their reports; gives its path."""
    _check_names(studies)
    if len(studies) < 2:
        raise ValueError(f"compare needs at least two studies, got {len(studies)}. Name another study file.")
    loaded = [plan_study(load_requested_study(StudyReference(path, None, folder)), folder)[0] for path in studies]
    there = results(folder)
    tables = {study.name: StudyTable.from_results(study.study, there) for study in loaded}
    place = Path(there.store.url) if there.store.is_local else Path()
    command = f"{PROGRAM} {shlex.join(['compare', *map(str, studies), '--results', folder])}"
    name = "-".join(["comparison", *tables])
    return [f"Comparison: {write_comparison(tables, there.measurements.collect(), command, place / 'reports' / name)}"]


def extract_description(header: str) -> str:
    """The background in the header of a study's file: all but its question, finding, cost and commands."""
    paragraphs = re.split(r"\n\s*\n", header.strip())[1:]
    background = [part for part in paragraphs if not part.startswith((" ", "Found", "Finding:", "Cost:"))]
    return "\n\n".join(" ".join(part.removeprefix("Source: ").split()) for part in background)
