from pathlib import Path

from ray import tune
from ray.tune.schedulers import ASHAScheduler

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.datasets.mnist import MNIST
from equistudy.execution.job_source import PlannedJobs, SampledJobs
from equistudy.measures.accuracy import Accuracy
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.running.job import Job
from equistudy.study.search import search
from equistudy.study.space import Choice, Halving, LogUniform, Uniform
from equistudy.study.trial import Trial, fingerprint
from equistudy.tasks.classification import Classification


def trial(width: int, seed: int) -> Trial:
    return Trial(ResNet(8, width), Digits(), Classification(), NoAugmentation(), Recipe(epochs=1), seed)


def test_a_list_gives_each_job_once() -> None:
    jobs = tuple(Job(trial(2, seed), {}, ()) for seed in range(3))
    source = PlannedJobs(jobs)
    assert source.total == 3
    assert source.build_space()["index"] == {"grid_search": [0, 1, 2]}
    assert [source.build_job({"index": index}) for index in range(3)] == list(jobs)
    assert source.get_scores(jobs[0], {"test_accuracy": 1.0}) == source.build_tune_options() == {}


def test_a_search_makes_jobs_of_what_tune_draws_and_tells_the_score() -> None:
    source = SampledJobs(
        search(trial, {"width": tune.choice([2, 3])}, num_samples=5, seed=7),
        (Accuracy(),),
        {trial(3, 7).id: {"test_accuracy": 0.5}},
        {trial(3, 7).id: [(1, 0.25), (2, 0.5)]},
    )
    assert source.total == 5
    job = source.build_job({"width": 3})
    assert (job.trial, job.levels, job.measures) == (trial(3, 7), {"width": 3}, (Accuracy(),))
    assert source.get_scores(job, {}) == {"test_accuracy": 0.5}
    assert source.get_scores(job, {"test_accuracy": 0.75}) == {"test_accuracy": 0.75}
    assert source.get_history(job) == [(1, 0.25), (2, 0.5)]
    assert source.get_scores(job, {}, 0.25) == {"test_accuracy": 0.25}
    assert source.get_history(source.build_job({"width": 2})) == ()
    assert source.get_scores(source.build_job({"width": 2}), {}) == {"test_accuracy": float("-inf")}
    assert source.build_tune_options()["mode"] == "max"


def test_a_job_travels_with_absolute_places_and_the_fingerprint() -> None:
    job = Job(trial(2, 0), {}, ()).with_absolute_paths()
    assert job.fingerprint == fingerprint(Digits())
    assert Path(str(MNIST("here").with_absolute_paths().folder)).is_absolute()


def test_domains_and_halving_are_tunes() -> None:
    space = {"width": Choice((2, 3)), "a": Uniform(0, 2), "b": LogUniform(1e-3, 1), "c": tune.randint(1, 9), "d": 4}

    def varied(width: int, a: float, b: float, c: int, d: int, seed: int) -> Trial:
        return trial(width, seed)

    found = SampledJobs(search(varied, space, num_samples=1, scheduler=Halving(27, first=3)), (), {}, {})
    domains, tuning = found.build_space(), found.build_tune_options()
    for _ in range(20):
        assert domains["width"].sample() in (2, 3)
        assert 0 <= domains["a"].sample() <= 2
        assert 1e-3 <= domains["b"].sample() <= 1
    assert (domains["c"], domains["d"]) == (space["c"], 4)
    asha = tuning["scheduler"]
    assert isinstance(asha, ASHAScheduler)
    (bracket,) = asha._brackets
    assert [milestone for milestone, _ in bracket._rungs] == [27, 9, 3]  # at the last epoch nothing is left to stop
    assert found.build_tune_options()["scheduler"] is not asha  # each run begins with a scheduler that has seen nothing
