"""Where the jobs of a run come from: a list that the plan made, or levels that Ray Tune draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from equistudy.execution.job import Job
from equistudy.measures.measure import Measure
from equistudy.spec import shown
from equistudy.study.search import Search

__all__ = ["Listed", "Sampled", "Source"]


@dataclass(frozen=True)
class Listed:
    """The jobs of a plan, each once."""

    jobs: tuple[Job, ...]
    report_seconds: float = 1.0  # an actor reports about this often, not after every short epoch

    @property
    def total(self) -> int:
        """How many trials there will be."""
        return len(self.jobs)

    def space(self) -> dict[str, Any]:
        """What Tune goes through: the places in the list."""
        from ray import tune

        return {"index": tune.grid_search(list(range(len(self.jobs))))}

    def tuning(self) -> dict[str, Any]:
        """Nothing adaptive."""
        return {}

    def job(self, config: Mapping[str, Any]) -> Job:
        """The job that Tune's configuration stands for."""
        return self.jobs[config["index"]]

    def told(self, job: Job, curves: Mapping[str, float]) -> dict[str, float]:
        """Nothing: no algorithm listens."""
        return {}


@dataclass(frozen=True)
class Sampled:
    """The jobs of a search. `finished` has the scores of trials that are over: drawn again, they cost nothing."""

    search: Search
    measures: tuple[Measure, ...]
    finished: Mapping[str, Mapping[str, float]]
    report_seconds: float = 0.0  # after every epoch: the scheduler decides by them

    @property
    def total(self) -> int:
        """How many trials there will be."""
        return self.search.num_samples

    def space(self) -> dict[str, Any]:
        """The study's own search space."""
        return dict(self.search.space)

    def tuning(self) -> dict[str, Any]:
        """The study's own algorithm and scheduler. Without an algorithm, draws are repeatable by the seed."""
        from ray.tune.search.basic_variant import BasicVariantGenerator

        search = self.search
        return {
            "num_samples": search.num_samples,
            "search_alg": search.algorithm or BasicVariantGenerator(random_state=search.seed),
            "scheduler": search.scheduler,
            "metric": search.score,
            "mode": search.mode.value,
        }

    def job(self, config: Mapping[str, Any]) -> Job:
        """The trial of the levels that Tune drew."""
        levels = {name: config[name] for name in self.search.names}
        trial = self.search.cell(levels).trial
        return Job(trial, {name: shown(level) for name, level in levels.items()}, self.measures).anchored()

    def told(self, job: Job, curves: Mapping[str, float]) -> dict[str, float]:
        """The score that the algorithm waits for: the latest, or the worst there is where none is known."""
        worst = float("-inf") if self.search.mode.value == "max" else float("inf")
        known = {**self.finished.get(job.trial.id, {}), **curves}
        return {self.search.score: known.get(self.search.score, worst)}


Source = Listed | Sampled
