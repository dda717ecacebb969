"""FINDINGS.md, the records behind it and the kept rows agree."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from equistudy.analysis.contrasts import holm_correction
from equistudy.analysis.findings import StudyFinding, build_claim_findings, parse_findings
from equistudy.analysis.intervals import t_interval
from equistudy.analysis.table import StudyTable
from equistudy.analysis.verdicts import judge_claims
from equistudy.cli.exporting import export_findings
from equistudy.results import results
from equistudy.results.reader import Results
from equistudy.study.file import load_study
from equistudy.study.search import Search
from equistudy.study.study import Study

STUDIES = Path(__file__).parents[1] / "studies"
KEPT = STUDIES / "kept"
FINDINGS = parse_findings((KEPT / "findings.jsonl").read_text())
NAMES = [finding.name for finding in FINDINGS]
NUMBERS = ("effect", "low", "high")


def test_the_page_is_what_the_records_give(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "findings.jsonl").write_bytes((KEPT / "findings.jsonl").read_bytes())
    export_findings([], None, "nowhere", tmp_path)
    assert (tmp_path / "FINDINGS.md").read_text() == (STUDIES / "FINDINGS.md").read_text()
    assert all((KEPT / f"{name}.svg").is_file() == (tmp_path / "kept" / f"{name}.svg").is_file() for name in NAMES)


@pytest.mark.parametrize("scale", ["", "-local"])
@pytest.mark.parametrize(
    "study",
    ["augmentation", "architecture", "capacity", "objective", "relaxation", "learned_turns", "augerino_classification"],
)
def test_the_papers_claims_stand_on_five_seeds_of_digits_and_of_articles(study: str, scale: str) -> None:
    name = "capacity-all" if (study, scale) == ("capacity", "") else study + scale
    (finding,) = (each for each in FINDINGS if each.name == name)
    assert finding.done == finding.planned
    assert min(claim.n for claim in finding.claims) >= 5


@pytest.mark.parametrize("name", ["augerino_molecules", "augerino_dynamics", "invariance_sensitivity"])
def test_the_tasks_with_learned_augmentations_stand_on_five_seeds(name: str) -> None:
    (finding,) = (each for each in FINDINGS if each.name == name)
    assert finding.done == finding.planned
    assert min(claim.n for claim in finding.claims) >= 5


def test_what_is_kept_is_small() -> None:
    assert sum(path.stat().st_size for path in KEPT.rglob("*.parquet")) < 2_000_000


@pytest.mark.parametrize("finding", FINDINGS, ids=NAMES)
def test_verdicts_follow_from_the_effects_of_the_seeds(finding: StudyFinding) -> None:
    ps = holm_correction([claim.p if claim.effects else None for claim in finding.claims])
    assert len(ps) == len(finding.claims)
    for claim in finding.claims:
        if not claim.effects:
            continue
        interval = t_interval(claim.effects)
        assert [claim.effect, claim.low, claim.high] == pytest.approx(list(interval[:3]))
        assert claim.n == len(claim.effects)
        low = float("-inf") if claim.low_claimed is None else claim.low_claimed
        high = float("inf") if claim.high_claimed is None else claim.high_claimed
        sure = claim.p is not None and claim.p < 0.05
        inside, outside = low < claim.low and claim.high < high, claim.high < low or high < claim.low
        expected = "undecided" if not sure else "supported" if inside else "contradicted" if outside else "undecided"
        assert claim.status == expected or claim.p is None


def as_run(study: Study, finding: StudyFinding, kept: Results) -> StudyTable:
    """The table of the trials that the finding is of, whatever ids the code gives them now."""
    design = pl.DataFrame(finding.trials)
    ids = {old: measure.id for old, measure in zip(finding.measures, study.measures, strict=True)}
    found = kept.trials.join(design.lazy().select("trial").unique(), on="trial", how="semi").collect()
    taken = [name for name in found.columns if name in design.columns and name != "trial"]
    trials = design.join(found.drop(taken), on="trial", how="left")
    rows = kept.measurements.filter(pl.col("trial").is_in(design["trial"].implode())).collect()
    renamed = rows.with_columns(measure_id=pl.col("measure_id").replace_strict(ids, default=None))
    curves = kept.curves.filter(pl.col("trial").is_in(design["trial"].implode())).collect()
    return StudyTable(study, design, trials, renamed, curves)


@pytest.mark.parametrize("finding", FINDINGS, ids=NAMES)
def test_the_kept_rows_give_the_same_numbers(finding: StudyFinding) -> None:
    study, kept = load_study(STUDIES / f"{finding.study}.py").study.at_scale(finding.scale), results(KEPT)
    if isinstance(study.design, Search):
        drawn = [json.dumps({name: row[name] for name in study.design.names}) for row in finding.trials]
        study = replace(study, design=study.design.with_sampled(drawn))
    table = as_run(study, finding, kept)
    again = {claim.statement: claim for claim in build_claim_findings(judge_claims(study, table), table)}
    common = [claim for claim in finding.claims if claim.statement in again]
    assert common, f"{finding.name} has no claim left that ran: run it again"
    for claim in common:
        for name in NUMBERS:
            was, is_now = getattr(claim, name), getattr(again[claim.statement], name)
            assert is_now == (None if was is None else pytest.approx(was, abs=1e-9)), (claim.statement, name)


@pytest.mark.parametrize(
    ("allowed", "low", "high"), [(0, 0, 4), (30, 27, 37), (45, 43, 52), (60, 56, 67), (90, 82, 93), (180, 179.9, 180)]
)
def test_three_seeds_learn_the_turns_that_are_allowed(allowed: int, low: float, high: float) -> None:
    found = results(KEPT).trials.filter(study="learned_invariance").collect()
    cell = found.filter(pl.col("allowed") == allowed, pl.col("weight") == 0.05)
    assert len(cell) >= 3
    assert low <= cell["train_rotation_extent_tail"].mean() <= high
