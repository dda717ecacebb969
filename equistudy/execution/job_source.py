"""Where the jobs of a run come from: a list that the plan made, or levels that Ray Tune draws."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from equistudy.measuring.measure import Measure
from equistudy.running.job import Job
from equistudy.spec import to_table_value
from equistudy.study.search import Search
from equistudy.study.space import Choice, Halving, LogUniform, Uniform

__all__ = ["JobSource", "PlannedJobs", "SampledJobs"]


@dataclass(frozen=True)
class PlannedJobs:
    """The jobs of a plan, each once."""

    jobs: tuple[Job, ...]
    report_seconds: float = 1.0  # an actor reports about this often, not after every short epoch
    is_adaptive: ClassVar[bool] = False

    @property
    def total(self) -> int:
        """How many trials there will be."""
        return len(self.jobs)

    def build_space(self) -> dict[str, Any]:
        """What Tune goes through: the places in the list."""
        from ray import tune

        return {"index": tune.grid_search(list(range(len(self.jobs))))}

    def build_tune_options(self) -> dict[str, Any]:
        """Nothing adaptive."""
        return {}

    def build_job(self, config: Mapping[str, Any]) -> Job:
        """The job that Tune's configuration stands for."""
        return self.jobs[config["index"]]

    def get_scores(self, job: Job, curves: Mapping[str, float], again: float | None = None) -> dict[str, float]:
        """Nothing: no algorithm listens."""
        return {}

    def get_history(self, job: Job) -> Sequence[tuple[int, float]]:
        """Nothing: a job of a plan is not over."""
        return ()


@dataclass(frozen=True)
class SampledJobs:
    """The jobs of a search. `finished` has the scores of trials that are over: drawn again, they cost nothing.

    `histories` are their scores epoch by epoch: told again, they bring a scheduler to where it was.
    """

    search: Search
    measures: tuple[Measure, ...]
    finished: Mapping[str, Mapping[str, float]]
    histories: Mapping[str, Sequence[tuple[int, float]]]
    report_seconds: float = 0.0  # after every epoch: the scheduler decides by them
    is_adaptive: ClassVar[bool] = True

    @property
    def jobs(self) -> tuple[Job, ...]:
        """None: what will be drawn is not known."""
        return ()

    @property
    def total(self) -> int:
        """How many trials there will be."""
        return self.search.num_samples

    def build_space(self) -> dict[str, Any]:
        """The study's own search space, in Tune's words."""
        return {name: _to_tune_domain(domain) for name, domain in self.search.space.items()}

    def build_tune_options(self) -> dict[str, Any]:
        """The study's own algorithm and scheduler. Without an algorithm, draws are repeatable by the seed."""
        from ray.tune.search.basic_variant import BasicVariantGenerator

        search = self.search
        return {
            "num_samples": search.num_samples,
            "search_alg": copy.deepcopy(search.algorithm) or BasicVariantGenerator(random_state=search.seed),
            "scheduler": _to_tune_scheduler(search.scheduler),
            "metric": search.score,
            "mode": search.mode.value,
        }

    def build_job(self, config: Mapping[str, Any]) -> Job:
        """The trial of the levels that Tune drew."""
        levels = {name: config[name] for name in self.search.drawn_names}
        trial = self.search.build_cell(levels).trial
        return Job(
            trial, {name: to_table_value(level) for name, level in levels.items()}, self.measures
        ).with_absolute_paths()

    def get_scores(self, job: Job, curves: Mapping[str, float], again: float | None = None) -> dict[str, float]:
        """The score that the algorithm waits for: the latest, or the worst there is where none is known.

        `again` is that of an epoch of a trial that is over.
        """
        if again is not None:
            return {self.search.score: again}
        worst = float("-inf") if self.search.mode.value == "max" else float("inf")
        known = {**self.finished.get(job.trial.id, {}), **curves}
        return {self.search.score: known.get(self.search.score, worst)}

    def get_history(self, job: Job) -> Sequence[tuple[int, float]]:
        """The scores of a trial that is over by epoch, the last one its own."""
        return self.histories.get(job.trial.id, ())


def _to_tune_domain(domain: Any) -> Any:
    """Ours in Tune's words; Tune's own, and single values, as they are."""
    from ray import tune

    if isinstance(domain, LogUniform):
        return tune.loguniform(domain.low, domain.high)
    if isinstance(domain, Uniform):
        return tune.uniform(domain.low, domain.high)
    return tune.choice(list(domain.categories)) if isinstance(domain, Choice) else domain


def _to_tune_scheduler(scheduler: Any) -> Any:
    """Likewise; another one for each run, for they keep what they have seen."""
    from ray.tune.schedulers import ASHAScheduler

    if not isinstance(scheduler, Halving):
        return copy.deepcopy(scheduler)
    return ASHAScheduler(
        "epoch", max_t=scheduler.epochs, grace_period=scheduler.first, reduction_factor=scheduler.factor
    )


JobSource = PlannedJobs | SampledJobs
