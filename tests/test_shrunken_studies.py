"""Every study that is shipped, with all its levels and claims but less of everything else, to its verdicts and report.

One run trains the trials of them all: a process of Ray for each study would take longer than the training.
"""

from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from equistudy.analysis.table import StudyTable
from equistudy.datasets.dataset import Dataset
from equistudy.execution.cluster import Resources
from equistudy.execution.job_source import PlannedJobs
from equistudy.execution.runner import run_study
from equistudy.report.page import format_verdict_lines, write_report
from equistudy.results import results
from equistudy.results.store import Store
from equistudy.running.circuit_breaker import CircuitBreaker
from equistudy.running.job import TrialPhase, TrialProgress
from equistudy.running.plan import PlanState, make_plan
from equistudy.study.design import CombinedDesign, Design, Factorial
from equistudy.study.file import load_study
from equistudy.study.search import Search
from equistudy.study.study import Study
from equistudy.study.trial import Trial

# the zoo needs weights that are not here: test_studies.py makes some
STUDIES = sorted(path for path in (Path(__file__).parents[1] / "studies").glob("*.py") if path.stem != "zoo")
SOME, SHARE = 48, 10  # examples where a study takes all there are; of more than twice as many, one in ten


class Failures:
    """Keeps what went wrong."""

    def __init__(self) -> None:
        self.told: list[TrialProgress] = []

    def report_start(self, total: int, concurrent: int, packed: int = 1) -> None:
        """Nobody watches."""

    def report_progress(self, progress: TrialProgress) -> None:
        if progress.phase == TrialPhase.FAILED:
            self.told.append(progress)

    def report_notice(self, text: str) -> None:
        """The cluster of the tests does not change."""

    def report_stopping(self) -> None:
        raise AssertionError("nobody asked to stop")

    def report_lost(self, text: str) -> None:
        raise AssertionError(text)


def few(dataset: Dataset) -> Dataset:
    """The dataset with fewer examples; sizes that differ still do, so that levels stay apart."""
    if hasattr(dataset, "dataset"):
        return replace(dataset, dataset=few(dataset.dataset))
    sizes = {name: getattr(dataset, name) for name in ("train_size", "test_size") if hasattr(dataset, name)}
    return replace(dataset, **{name: shrink(size) for name, size in sizes.items()})


def shrink(size: int | None) -> int:
    """How many of as many examples, or of all there are, a shrunken trial takes."""
    if size is None:
        return SOME
    return size if size <= 2 * SOME else max(12, -(-size // SHARE))


def shrunk(trial: Trial) -> Trial:
    """One epoch on few examples, in steps too small to diverge."""
    recipe = trial.recipe
    slow = replace(recipe.optimiser, learning_rate=1e-3)
    recipe = replace(recipe, epochs=1, batch_size=min(12, recipe.batch_size), optimiser=slow)
    return replace(trial, dataset=few(trial.dataset), recipe=recipe)


def small(design: Design, seed: int) -> Design:
    """The design with one replicate of shrunken trials; a search as if it had drawn the least of everything."""
    if isinstance(design, CombinedDesign):
        return CombinedDesign(tuple(small(part, seed) for part in design.parts))
    assert isinstance(design, (Factorial, Search))
    function = design.function

    def trial(**values: Any) -> Trial:
        return shrunk(function(**values))

    if isinstance(design, Factorial):
        return replace(design, function=trial, seeds=(seed,))
    space = design.space.items()
    levels = {name: domain.low if hasattr(domain, "low") else domain.categories[0] for name, domain in space}
    return replace(
        design, function=trial, num_samples=1, seed=seed, confirm=(seed + 100,), sampled=(levels,), best=levels
    )


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_every_study_runs_to_its_verdicts_and_its_report(tmp_path: Path) -> None:
    from ray import cloudpickle

    store, log = Store.open(tmp_path / "results"), Failures()
    loaded = [load_study(path) for path in STUDIES]
    studies: list[Study] = []
    for seed, each in enumerate(loaded, 1):  # each its own seed: some shrink to the same trial
        cloudpickle.register_pickle_by_value(each.module)
        studies.append(replace(each.study, design=small(each.study.design, seed)))
    jobs = [job for study in studies for job in make_plan(study, None).build_jobs()]
    outcome = run_study(loaded[0], PlannedJobs(tuple(jobs)), store, Resources(), log, breaker=CircuitBreaker(0))
    assert log.told == []
    assert outcome.done == len(jobs) > 100

    found = results(store.url)
    for each, study in zip(loaded, studies, strict=True):
        made = make_plan(study, found)
        assert made.counts[PlanState.DONE] == len(made.trials), each.name
        table = StudyTable.from_results(study, found)
        verdicts = format_verdict_lines(study, table)
        assert len(verdicts) == len(study.claims) > 0
        assert {line.partition(":")[0] for line in verdicts} <= {"SUPPORTED", "CONTRADICTED", "UNDECIDED"}
        page = write_report(study, table, each.name, f"report {each.path}", tmp_path / each.name)
        text = unescape(page.read_text())
        assert study.question in text
        assert all(claim.statement in text for claim in study.claims), each.name
