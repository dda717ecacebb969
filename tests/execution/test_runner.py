import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from equistudy.execution import runner
from equistudy.execution.cluster import Capacity, Resources
from equistudy.execution.job_source import PlannedJobs
from equistudy.execution.runner import RunOutcome, check_shared_results, run_study
from equistudy.results import results
from equistudy.results.store import Store
from equistudy.running.circuit_breaker import MAX_FAILED_STARTS
from equistudy.running.job import TrialPhase, TrialProgress
from equistudy.running.plan import PlanState, make_plan
from equistudy.study.file import LoadedStudy, load_study
from equistudy.training.trainer import Trainer

# `Poisoned` is defined by the study file itself: no package on a worker has it
STUDY = '''
from dataclasses import dataclass
import equistudy as eq

@dataclass(frozen=True)
class Poisoned(eq.Model):
    """Raises when it is built."""

    def build(self, image_shape, num_outputs):
        raise RuntimeError("poisoned")

def trial(width: int, seed: int) -> eq.Trial:
    digits = eq.Digits(canvas=16, digit=8, train_size=128)
    model = Poisoned() if width == 0 else eq.ResNet(8, width)
    recipe = eq.Recipe(epochs={epochs}, batch_size=64, optimiser=eq.SGD(learning_rate=0.01))
    return eq.Trial(model, digits, eq.Classification(), eq.NoAugmentation(), recipe, seed)

study = eq.Study(
    question="Why?",
    design=eq.factorial(trial, eq.Factor("width", {widths}), seeds=range({seeds})),
    measures=(eq.Accuracy(),),
)
'''

LEARNED = '''
import equistudy as eq

def trial(weight: float, seed: int) -> eq.Trial:
    """A box of two generators."""
    box = eq.LearnedAugmentation((eq.RotationGenerator(), eq.ScalingGenerator()), eq.NormRegulariser(weight), 0.04)
    sprites, recipe = eq.Sprites(2, 45.0, 16, 96, 64), eq.Recipe(3, 32, eq.AdamW(0.01, 0.0))
    return eq.Trial(eq.ResNet(8, 2), sprites, eq.Classification(), box, recipe, seed)

study = eq.Study("Why?", eq.factorial(trial, eq.Factor("weight", (0.05, 0.1)), seeds=(1,)), measures=())
'''


class Log:
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.progress: list[TrialProgress] = []
        self.concurrent = 0

    def report_start(self, total: int, concurrent: int, packed: int = 1) -> None:
        self.concurrent = concurrent

    def report_progress(self, progress: TrialProgress) -> None:
        self.progress.append(progress)

    def report_notice(self, text: str) -> None:
        """The cluster of the tests does not change."""

    def report_stopping(self) -> None:
        raise AssertionError("nobody asked to stop")

    def report_lost(self, text: str) -> None:
        raise AssertionError(text)


def written(tmp_path: Path, widths: tuple[int, ...] = (2,), seeds: int = 1, epochs: int = 2) -> LoadedStudy:
    path = tmp_path / f"why_{tmp_path.name}.py"
    text = STUDY
    for name, value in {"epochs": epochs, "widths": widths, "seeds": seeds}.items():
        text = text.replace(f"{{{name}}}", str(value))
    path.write_text(text)
    return load_study(path)


def run(loaded: LoadedStudy, store: Store, **resources: int) -> tuple[RunOutcome, Log]:
    found = results(store.url)
    log = Log()
    source = PlannedJobs(tuple(make_plan(loaded.study, found).build_jobs()))
    outcome = run_study(loaded, source, store, Resources(**resources), log)
    return outcome, log


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_a_study_with_a_poisoned_cell_finishes_the_others(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "results")
    loaded = written(tmp_path, widths=(2, 0, 3), seeds=2)
    outcome, log = run(loaded, store)
    assert (outcome.done, outcome.failed, outcome.interrupted) == (4, 2, False)
    assert log.concurrent == 2
    ends = [progress for progress in log.progress if progress.is_final]
    assert {progress.message for progress in ends if progress.phase == TrialPhase.FAILED} == {"RuntimeError: poisoned"}
    rows = results(store.url).trials.collect()
    assert sorted(rows["status"]) == ["done"] * 4 + ["failed"] * 2
    failed = rows.filter(status="failed")
    assert set(failed["reason"]) == {"bug"}
    assert all('raise RuntimeError("poisoned")' in text for text in failed["traceback"])
    plan = make_plan(loaded.study, results(store.url))
    assert plan.build_jobs() == []
    assert len(plan.build_jobs(retry=("bug",))) == plan.counts[PlanState.FAILED] == 2


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_the_same_bug_in_the_first_trials_stops_the_run(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "results")
    loaded = written(tmp_path, widths=(0,), seeds=12)
    outcome, _ = run(loaded, store)
    assert outcome.broken is not None
    assert outcome.broken.startswith("The first 5 trials failed in the same way, so no other was started: RuntimeError")
    assert not outcome.interrupted
    failed = results(store.url).trials.collect().height
    assert 5 <= failed < 12  # the one beside the fifth may have ended as well
    assert make_plan(loaded.study, results(store.url)).counts[PlanState.MISSING] == 12 - failed


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_one_process_runs_many_trials(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "results")
    outcome, log = run(written(tmp_path, widths=(1, 2, 3), seeds=2), store, max_concurrent=1)
    assert outcome.done == 6
    assert log.concurrent == 1
    rows = results(store.url).trials.collect()
    assert set(rows["threads"]) == {1}
    assert set(rows["study"]) == {f"why_{tmp_path.name}"}
    assert rows["commit"].null_count() == 6  # the study file lies in no repository


def test_a_request_that_can_never_be_met_is_refused(tmp_path: Path, ray_capacity: Capacity) -> None:
    with pytest.raises(ValueError, match=r"got a request for 64 CPUs and a largest node with 2"):
        run(written(tmp_path), Store.open(tmp_path / "results"), cpus=64)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_runs_also_outside_the_main_thread(tmp_path: Path) -> None:
    # where no signal handler can be set
    store, loaded, ended = Store.open(tmp_path / "results"), written(tmp_path), []
    thread = threading.Thread(target=lambda: ended.append(run(loaded, store)[0].done))
    thread.start()
    thread.join()
    assert ended == [1]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_two_workers_give_the_losses_of_one(tmp_path: Path) -> None:
    loaded = written(tmp_path, epochs=3)
    curves = {}
    for workers in (1, 2):
        store = Store.open(tmp_path / f"results{workers}")
        outcome, _ = run(loaded, store, workers=workers)
        assert outcome.done == 1
        found = results(store.url)
        assert found.trials.collect()["workers"].item() == workers
        curves[workers] = found.curves.collect().filter(name="loss").sort("split", "epoch")
    assert curves[1].drop("value").equals(curves[2].drop("value"))
    for one, two in zip(curves[1]["value"], curves[2]["value"], strict=True):
        assert one == pytest.approx(two, rel=1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_what_a_box_learns_on_a_cluster_is_what_it_learns_here_bit_by_bit(tmp_path: Path) -> None:
    path = tmp_path / "learned.py"
    path.write_text(LEARNED)
    loaded, store = load_study(path), Store.open(tmp_path / "results")
    outcome, _ = run(loaded, store)
    assert outcome.done == 2
    found = results(store.url)
    for row in found.trials.collect().to_dicts():
        (trial,) = (cell.trial for cell in loaded.study.design.cells() if cell.trial.id == row["trial"])
        trainer = Trainer(trial, torch.device("cpu"))
        while not trainer.is_finished:
            trainer.train_epoch()
        curves = found.curves.collect().filter(trial=row["trial"]).to_dicts()
        assert {(each["epoch"], each["split"], each["name"]): each["value"] for each in curves} == {
            tuple(value[:3]): value.value for value in trainer.curves
        }
        assert any(value.name == "rotation_extent" for value in trainer.curves)
        kept, own = load(store.read_bytes(row["weights"]) or b""), trainer.network.state_dict()
        assert kept.keys() == own.keys()
        assert all(torch.equal(kept[name], own[name]) for name in own)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_a_poisoned_trial_of_two_workers_has_its_row(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "results")
    outcome, _ = run(written(tmp_path, widths=(0,)), store, workers=2)
    assert (outcome.done, outcome.failed) == (0, 1)
    (row,) = results(store.url).trials.collect().to_dicts()
    assert (row["reason"], row["workers"]) == ("bug", 2)
    assert "poisoned" in row["message"]


HANGING = STUDY.replace('raise RuntimeError("poisoned")', "import time; time.sleep(600)")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_a_trial_that_hangs_again_and_again_has_a_row_with_its_stacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("equistudy.execution.tuner.MAX_RESTARTS", 1)
    monkeypatch.setitem(globals(), "STUDY", HANGING)
    store = Store.open(tmp_path / "results")
    loaded = written(tmp_path, widths=(0,))
    log = Log()
    source = PlannedJobs(tuple(make_plan(loaded.study, None).build_jobs()))
    outcome = run_study(loaded, source, store, Resources(hang_seconds=2.0), log)
    assert (outcome.done, outcome.failed) == (0, 1)
    (row,) = results(store.url).trials.collect().to_dicts()
    assert row["reason"] == "time"
    assert "no step ended for 2 s in process" in row["message"]
    assert "2 times. Raise --hang-minutes if it was only slow." in row["message"]
    assert "in build" in row["traceback"]
    assert [progress.phase for progress in log.progress if progress.phase == TrialPhase.DIED] == [TrialPhase.DIED]


@pytest.mark.usefixtures("ray_capacity")
def test_a_local_folder_must_be_seen_from_every_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, several = Store.open(tmp_path / "results"), Capacity(4, 0, 2, 0, nodes=2)
    check_shared_results(replace(several, nodes=1), store)
    with pytest.raises(
        ValueError, match=r"results and 2 nodes, of which 1 run and can see it. Give --results a shared"
    ):
        check_shared_results(several, store)
    monkeypatch.setattr(runner, "find_blind_nodes", lambda path, content: (1, ["10.0.0.7"]))
    with pytest.raises(ValueError, match=r"2 nodes, which 10\.0\.0\.7 cannot see\. .* such as s3://bucket/results"):
        check_shared_results(several, store)
    monkeypatch.setattr(
        runner, "find_blind_nodes", lambda path, content: (2 if path.read_bytes() == content else 0, [])
    )
    check_shared_results(several, store)
    assert store.list_names("running") == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_capacity")
def test_what_the_workers_cannot_import_ends_the_run_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "only_here.py").write_text("import equistudy as eq\n\nclass Net(eq.ResNet):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "here"))  # of this process, and of no worker's
    text = STUDY.replace("import equistudy as eq", "import equistudy as eq\nfrom only_here import Net", 1)
    monkeypatch.setitem(globals(), "STUDY", text.replace("eq.ResNet(8, width)", "Net(8, width)"))
    store = Store.open(tmp_path / "results")
    outcome, log = run(written(tmp_path), store)
    assert outcome.broken is not None
    assert re.fullmatch(
        r"No trial could begin: StartError: a process for trials cannot begin on \S+: ModuleNotFoundError: No "
        r"module named 'only_here'\. Fix it where the trials run, then run the same command again\.",
        outcome.broken,
    )
    assert [progress.phase for progress in log.progress] == MAX_FAILED_STARTS * [TrialPhase.DIED]
    assert store.list_names("trials") == []  # nothing is to be retried
