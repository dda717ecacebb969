from pathlib import Path

import pytest

from equistudy.execution.cluster import Resources
from equistudy.execution.job_source import SampledJobs
from equistudy.execution.runner import RunOutcome, run_study
from equistudy.execution.tuner import explain_failed_start
from equistudy.results import results
from equistudy.results.store import Store
from equistudy.running.job import TrialPhase, TrialProgress
from equistudy.running.plan import PlanState, make_plan
from equistudy.study.file import LoadedStudy, load_study
from equistudy.study.search import Search

STUDY = """
import equistudy as eq
from ray import tune
from ray.tune.schedulers import ASHAScheduler

def trial(learning_rate: float, width: int, seed: int) -> eq.Trial:
    digits = eq.Digits(canvas=16, digit=8, train_size=128)
    recipe = eq.Recipe(epochs=8, batch_size=32, optimiser=eq.SGD(learning_rate))
    return eq.Trial(eq.ResNet(8, width), digits, eq.Classification(), eq.NoAugmentation(), recipe, seed)

study = eq.Study(
    question="Which learning rate?",
    design=eq.search(
        trial,
        {"learning_rate": tune.loguniform(1e-6, 0.1), "width": tune.choice([1, 2])},
        num_samples=6,
        SCHEDULER
    ),
    measures=(eq.Accuracy(),),
)
"""
ASHA = 'scheduler=ASHAScheduler(time_attr="epoch", max_t=8, grace_period=1, reduction_factor=2),'


class Silence:
    """Tells nobody, and remembers."""

    def __init__(self) -> None:
        self.progress: list[TrialProgress] = []
        self.concurrent = 0

    def report_start(self, total: int, concurrent: int, packed: int = 1) -> None:
        assert total == 6
        self.concurrent = concurrent

    def report_progress(self, progress: TrialProgress) -> None:
        self.progress.append(progress)

    def report_notice(self, text: str) -> None:
        """The cluster of the tests does not change."""

    def report_stopping(self) -> None:
        raise AssertionError("nobody asked to stop")

    def report_lost(self, text: str) -> None:
        raise AssertionError(text)


def written(tmp_path: Path, scheduler: str = "") -> LoadedStudy:
    path = tmp_path / f"search_{tmp_path.name}.py"
    path.write_text(STUDY.replace("SCHEDULER", scheduler))
    return load_study(path)


def run(loaded: LoadedStudy, store: Store, **resources: int) -> tuple[RunOutcome, Silence]:
    design = loaded.study.design
    assert isinstance(design, Search)
    log = Silence()
    found = results(store.url)
    source = SampledJobs(design, loaded.study.measures, found.collect_scores(), found.collect_histories(design.score))
    return run_study(loaded, source, store, Resources(**resources), log), log


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_a_random_search_is_repeatable_and_repeats_nothing(tmp_path: Path) -> None:
    store, loaded = Store.open(tmp_path / "results"), written(tmp_path)
    outcome, log = run(loaded, store, max_concurrent=1)
    assert (outcome.done, outcome.failed, log.concurrent) == (6, 0, 1)
    rows = results(store.url).trials.collect()
    assert rows.height == 6
    assert rows["learning_rate"].is_between(1e-6, 0.1).all()
    assert set(rows["width"]) <= {1, 2}

    again, log = run(loaded, store, max_concurrent=1)
    assert again.done == 6
    # what is over is told again epoch by epoch, for a scheduler that begins anew
    assert {progress.phase for progress in log.progress} == {TrialPhase.TRAINING, TrialPhase.DONE}
    assert results(store.url).trials.collect().equals(rows)
    design = loaded.study.design.with_draws(results(store.url), loaded.name)
    assert {cell.trial.id for cell in design.cells()} == set(rows["trial"])


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_what_a_scheduler_gives_up_has_a_row(tmp_path: Path) -> None:
    store, loaded = Store.open(tmp_path / "results"), written(tmp_path, ASHA)
    outcome, log = run(loaded, store)
    assert log.concurrent == 2
    rows = results(store.url).trials.collect()
    assert rows.height == 6
    stopped = rows.filter(reason="stopped early")
    assert 0 < stopped.height < 6
    assert outcome.done == 6 - stopped.height
    assert stopped["epochs"].max() < 8
    assert {progress.phase for progress in log.progress if progress.is_final} == {TrialPhase.DONE, TrialPhase.STOPPED}
    study = loaded.study
    design = study.design.with_draws(results(store.url), loaded.name)
    plan = make_plan(type(study)(study.question, design, study.measures), results(store.url))
    assert plan.counts[PlanState.STOPPED] == stopped.height
    assert plan.build_jobs() == []
    # what led to the stop stays
    curves = results(store.url).curves.filter(split="test", name="accuracy").collect()
    assert set(stopped["trial"]) <= set(curves["trial"])
    for trial, epochs in stopped.select("trial", "epochs").iter_rows():
        assert curves.filter(trial=trial)["epoch"].to_list() == list(range(1, epochs + 1))
    _, log = run(loaded, store)
    assert results(store.url).trials.collect().equals(rows)  # told again, the scheduler stops nothing that is over


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            "The actor died because of an error raised in its creation task, ray::Trainable.__init__() (pid=5, "
            'ip=10.0.0.7, actor_id=ea)\n  File "registry.py", line 313, in get\nray.exceptions.RaySystemError: System '
            "error: No module named 'mine'\ntraceback: Traceback (most recent call last):\n      ^^^^\n"
            "ModuleNotFoundError: No module named 'mine'",
            " on 10.0.0.7: ModuleNotFoundError: No module named 'mine'",
        ),
        (
            "The actor with name TrialActor failed to import on the worker. This may be because needed library "
            "dependencies are not installed in the worker environment:\n\nImportError: libcuda.so.1: no such file",
            ": ImportError: libcuda.so.1: no such file",
        ),
        ("Nothing known", ": Nothing known"),
    ],
)
def test_why_a_process_has_not_begun_is_told_in_a_line(told: str, reason: str) -> None:
    assert str(explain_failed_start(told)) == f"a process for trials cannot begin{reason}"
