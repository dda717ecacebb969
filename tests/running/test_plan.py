from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from equistudy.analysis.claims import Trend
from equistudy.analysis.trial_numbers import Score
from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.digits import Digits
from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.correlation import WithinCorrelation
from equistudy.models.resnet import ResNet
from equistudy.models.timm_model import TimmModel
from equistudy.recipe import Recipe
from equistudy.report.figures import Curve
from equistudy.results import results
from equistudy.results.reader import Results
from equistudy.results.schema import TrialRow
from equistudy.results.store import Store
from equistudy.running.plan import PlanState, StudyPlan, make_plan
from equistudy.study.design import Factor, factorial
from equistudy.study.study import Claim, Study
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

ACCURACY, WITHIN = Accuracy(), WithinCorrelation(Translation(max_pixels=1))


def trial(width: int, seed: int, depth: int = 8) -> Trial:
    return Trial(ResNet(depth, width), Digits(), Classification(), NoAugmentation(), Recipe(epochs=1), seed)


def study(widths: tuple[int, ...] = (2, 4), seeds: int = 2, **changes: Any) -> Study:
    design = factorial(trial, Factor("width", widths), seeds=range(seeds))
    return Study("Why?", design, **{"measures": (ACCURACY,), **changes})


def finish(store: Store, trial: Trial, status: str = "done", attempt: int = 0, **values: Any) -> None:
    if status == "done":
        store.write_measurements(trial.id, attempt, ACCURACY.id, [])
        values.setdefault("weights", f"weights/{trial.id}.safetensors")
    store.write_trial(TrialRow(trial.id, attempt, "s", status, trial.seed, "{}", "{}", **values))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "results")


def found(store: Store) -> Results:
    return results(store.url)


def states(plan: StudyPlan) -> list[str]:
    return [planned.state.value for planned in plan.trials]


def test_without_results_everything_is_missing() -> None:
    plan = make_plan(study(), None)
    assert states(plan) == ["missing"] * 4
    assert [job.levels for job in plan.build_jobs()] == [{"width": 2}, {"width": 4}] * 2
    assert plan.estimate_seconds(plan.trials) is None


def test_a_grown_design_lacks_exactly_what_is_new(store: Store) -> None:
    for planned in make_plan(study(), None).trials:
        finish(store, planned.trial)
    assert make_plan(study(), found(store)).build_jobs() == []
    larger = make_plan(study(widths=(2, 4, 8), seeds=5), found(store))
    new = {(job.trial.model.width, job.trial.seed) for job in larger.build_jobs()}  # type: ignore[attr-defined]
    assert new == {(w, s) for w in (2, 4, 8) for s in range(5)} - {(w, s) for w in (2, 4) for s in range(2)}
    assert make_plan(study(widths=(4,)), found(store)).counts[PlanState.DONE] == 2


def test_a_trial_of_two_conditions_is_planned_once(store: Store) -> None:
    doubled = replace(study(), design=study().design + study(widths=(4, 8)).design)
    assert len(make_plan(doubled, None).trials) == 6


def test_failed_trials_wait_for_a_retry(store: Store) -> None:
    first, second, *_ = make_plan(study(), None).trials
    finish(store, first.trial, "failed", reason="bug")
    finish(store, second.trial, "failed", reason="out of memory")
    plan = make_plan(study(), found(store))
    there = {state: number for state, number in plan.counts.items() if number}
    assert there == {PlanState.FAILED: 2, PlanState.MISSING: 2}
    assert len(plan.build_jobs()) == 2
    retried = [job for job in plan.build_jobs(retry=("bug",)) if job.attempt]
    assert [(job.trial.id, job.attempt) for job in retried] == [(first.id, 1)]
    assert sum(job.attempt for job in plan.build_jobs(retry=())) == 2
    finish(store, first.trial, "done", attempt=1)
    assert make_plan(study(), found(store)).counts[PlanState.DONE] == 1


def test_what_a_search_gave_up_is_trained_where_a_factorial_needs_it(store: Store) -> None:
    first, *_ = make_plan(study(), None).trials
    finish(store, first.trial, "failed", reason="stopped early")
    plan = make_plan(study(), found(store))
    assert states(plan) == ["missing"] * 4
    assert [job.attempt for job in plan.build_jobs()] == [1, 0, 0, 0]


def test_a_new_measure_asks_for_measuring_alone(store: Store) -> None:
    for planned in make_plan(study(), None).trials:
        finish(store, planned.trial)
        store.write_bytes(f"weights/{planned.id}.safetensors", b"")
    plan = make_plan(study(measures=(ACCURACY, WITHIN)), found(store))
    assert states(plan) == ["unmeasured"] * 4
    (job, *_) = plan.build_jobs()
    assert job.measures == (WITHIN,)
    assert job.every_measure == (ACCURACY, WITHIN)
    assert job.weights == f"weights/{job.trial.id}.safetensors"


def test_a_new_measure_of_networks_that_are_not_stored_asks_for_training(store: Store) -> None:
    kept, lost, bare, other = make_plan(study(), None).trials
    for planned in (kept, lost, other):
        finish(store, planned.trial)
    store.write_bytes(f"weights/{kept.id}.safetensors", b"")
    store.write_bytes(f"weights/{other.id}.safetensors", b"")
    finish(store, bare.trial, weights=None)  # as in an archive of rows
    plan = make_plan(study(measures=(ACCURACY, WITHIN)), found(store))
    assert states(plan) == ["unmeasured", "missing", "missing", "unmeasured"]
    jobs = {job.trial.id: job for job in plan.build_jobs()}
    for planned in (lost, bare):
        job = jobs[planned.id]
        assert (job.attempt, job.measures, job.has_row) == (1, (ACCURACY, WITHIN), False)
    assert states(make_plan(study(), found(store))) == ["done"] * 4


def test_cost_is_that_of_the_same_cell_or_the_mean(store: Store) -> None:
    narrow, wide, *_ = make_plan(study(), None).trials
    finish(store, narrow.trial, seconds=2.0, measuring_seconds=1.0)
    plan = make_plan(study(), found(store))
    assert [planned.seconds for planned in plan.trials] == [3.0, None, 3.0, None]
    assert plan.estimate_seconds(plan.trials[1:]) == pytest.approx(9.0)
    finish(store, wide.trial, seconds=10.0)
    assert [planned.seconds for planned in make_plan(study(), found(store)).trials] == [3.0, 10.0, 3.0, 10.0]


def as_it_is(name: str, seed: int) -> Trial:
    model = TimmModel(name, pretrained=True)
    return Trial(model, DeadLeaves(), Classification(), NoAugmentation(), Recipe(epochs=0), seed)


def test_trials_without_their_weights_are_known_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    here, absent = "test_resnet.r160_in1k", "test_vit.r160_in1k"
    monkeypatch.setenv("EQUISTUDY_WEIGHTS", str(tmp_path))
    (tmp_path / f"{here}.safetensors").write_bytes(b"weights")
    asked = Study("Why?", factorial(as_it_is, Factor("name", (here, absent)), seeds=[0]), (ACCURACY,))
    plan = make_plan(asked, None)
    assert states(plan) == ["missing", "impossible"]
    assert plan.trials[1].reason == "no weights"
    (job,) = plan.build_jobs(retry=())
    assert job.levels == {"name": here}
    model = job.trial.model
    assert isinstance(model, TimmModel)
    assert model.weights == str(tmp_path / f"{here}.safetensors")
    assert job.model_fingerprint == model.fingerprint()


def test_a_network_that_was_not_trained_is_measured_again_without_stored_weights(store: Store) -> None:
    def plain(name: str, seed: int) -> Trial:
        return replace(as_it_is(name, seed), model=TimmModel(name))

    asked = Study("Why?", factorial(plain, Factor("name", ("test_vit",)), seeds=[0]), (ACCURACY, WITHIN))
    (planned,) = make_plan(asked, None).trials
    finish(store, planned.trial, weights=None)
    (job,) = make_plan(asked, found(store)).build_jobs()
    assert (job.has_row, job.weights, job.measures) == (True, None, (WITHIN,))


def test_a_trial_function_that_ignores_its_seed_is_refused() -> None:
    design = factorial(lambda width, seed: trial(width, 0), Factor("width", (2, 4)), seeds=range(3))
    with pytest.raises(ValueError, match=r"must pass its seed to Trial, got one trial for seeds 0 and 1: .*Pass seed"):
        make_plan(Study("Why?", design, (ACCURACY,)), None)


@pytest.mark.parametrize(
    ("claims", "figures", "message"),
    [
        (("test_acuracy",), (), r"Claim 1 uses Score\('test_acuracy'\), which no trial .* Did you mean test_accuracy"),
        (("test_accuracy", "test_rmse"), (), r"Claim 2 uses Score\('test_rmse'\)"),
        ((), ("paramters",), r"Figure 1 uses Score\('paramters'\).* Did you mean parameters"),
        ((), ("train_rotation_extent_tail",), r"Figure 1 uses Score\('train_rotation_extent_tail'\)"),
        (("test_accuracy", "test_loss", "train_loss", "seconds", "recipe.epochs"), ("parameters",), None),
    ],
)
def test_scores_that_no_trial_will_have_are_refused(
    claims: tuple[str, ...], figures: tuple[str, ...], message: str | None
) -> None:
    seeds = Factor("width", (2, 4))
    asked = Study(
        "Why?",
        factorial(trial_of_width, seeds, seeds=[0]),
        (ACCURACY,),
        tuple(Claim(name, Trend(Score(name), over=seeds, expected="increasing")) for name in claims),
        tuple(Curve(Score(name), seeds) for name in figures),
    )
    if message is None:
        assert len(make_plan(asked, None).trials) == 2
    else:
        with pytest.raises(ValueError, match=message):
            make_plan(asked, None)


def trial_of_width(width: int, seed: int) -> Trial:
    return Trial(ResNet(8, width), Digits(), Classification(), NoAugmentation(), Recipe(), seed)


def ignores_rate(width: int, rate: float, seed: int) -> Trial:
    return trial_of_width(width, seed)


def uses_rate_at_width_4(width: int, rate: float, seed: int) -> Trial:
    recipe = Recipe(label_smoothing=rate if width == 4 else 0.0)
    return replace(trial_of_width(width, seed), recipe=recipe)


def test_a_factor_that_changes_no_trial_is_refused() -> None:
    factors = Factor("width", (2, 4)), Factor("rate", (0.1, 0.2))
    with pytest.raises(ValueError, match=r"A factor must change the trials, got 'rate', whose levels 0.1, 0.2 give"):
        make_plan(Study("Why?", factorial(ignores_rate, *factors, seeds=range(2)), (ACCURACY,)), None)
    some = Study("Why?", factorial(uses_rate_at_width_4, *factors, seeds=range(2)), (ACCURACY,))
    assert len(make_plan(some, None).trials) == 6
    single = Study("Why?", factorial(ignores_rate, factors[0], Factor("rate", (0.1,)), seeds=range(2)), (ACCURACY,))
    assert len(make_plan(single, None).trials) == 4
