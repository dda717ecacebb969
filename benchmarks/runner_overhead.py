"""What the runner costs beside the training: 40 short trials through `run_study`, and in a bare loop.

    bare      two processes of one thread, each trains 20 of the trials one after the other and writes nothing;
              process start and import of torch are not counted
    runner    equistudy.execution.runner.run_study on two CPUs, with all its rows and weights; `trials` is the time
              from the beginning of the first trial to the end of the last, Ray's start and end are shown apart
    plain     the plain pattern, a TorchTrainer of one worker inside a Tune function for each trial, over a few trials;
              its time for all trials is that of one trial scaled

    python benchmarks/runner_overhead.py [--trials 40] [--repetitions 5] [--plain-trials 4]

Expect runner / bare of at most 1.3 and less than 0.15 s of overhead for each trial. Every repetition of each is a fresh
process, in turn.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from equistudy.execution.cluster import ENVIRONMENT, Resources, Site
from equistudy.execution.job_source import PlannedJobs
from equistudy.results import results
from equistudy.results.store import Store
from equistudy.running.job import TrialProgress
from equistudy.running.plan import make_plan
from equistudy.study.file import LoadedStudy, load_study
from equistudy.study.trial import Trial

SLOTS = 2
STUDY = '''"""Short trials."""

import equistudy as eq

WIDTH = eq.Factor("width", levels=(4,))


def trial(width: int, seed: int) -> eq.Trial:
    recipe = eq.Recipe(epochs=2, batch_size=64)
    digits = eq.Digits(canvas=16, digit=8, train_size={examples})
    return eq.Trial(eq.ResNet(8, width), digits, eq.Classification(), eq.RandomCrop(2), recipe, seed)


study = eq.Study("How long does running take?", eq.factorial(trial, WIDTH, seeds=range({trials})), measures=())
'''

Timings = dict[str, float]


class Workload(NamedTuple):
    """How many trials, of how many training examples."""

    trials: int
    examples: int

    def load(self, folder: Path) -> LoadedStudy:
        """The study, from a file that is written into the folder."""
        path = folder / "short.py"
        path.write_text(STUDY.format(**self._asdict()))
        return load_study(path)


class Clock:
    """Remembers when Ray was up and when the first trial gave a sign of life."""

    def __init__(self) -> None:
        self.began, self.up, self.first = time.time(), 0.0, 0.0

    def report_start(self, total: int, concurrent: int, packed: int = 1) -> None:
        """Ray is up."""
        self.up = time.time()

    def report_progress(self, progress: TrialProgress) -> None:
        """A trial gave a sign of life."""
        self.first = self.first or time.time()

    def report_notice(self, text: str) -> None:
        """Nobody waits."""

    def report_stopping(self) -> None:
        """Nobody asks."""

    def report_lost(self, text: str) -> None:
        """The exit code says it."""


def runner(workload: Workload) -> Timings:
    from equistudy.execution.runner import run_study

    with tempfile.TemporaryDirectory() as temporary:
        loaded = workload.load(Path(temporary))
        store = Store.open(Path(temporary) / "results")
        clock = Clock()
        jobs = PlannedJobs(tuple(make_plan(loaded.study, None).build_jobs()))
        outcome = run_study(loaded, jobs, store, Resources(), clock, Site(num_cpus=SLOTS))
        ended = time.time()
        assert outcome.done == workload.trials, outcome
        rows = results(store.url).trials.select("started", "finished", "seconds").collect().to_dicts()
    first = min(row["started"].timestamp() for row in rows)
    last = max(row["finished"].timestamp() for row in rows)
    return {
        "trials": last - first,
        "all": ended - clock.began,
        "ray": clock.up - clock.began,
        "actors": first - clock.up,
        "first sign": clock.first - clock.began,
        "end": ended - last,
        "training": statistics.median(row["seconds"] for row in rows),
        "inside": statistics.median((row["finished"] - row["started"]).total_seconds() for row in rows),
    }


def train(trial: Trial) -> None:
    import torch

    from equistudy.training.trainer import Trainer

    trainer = Trainer(trial, torch.device("cpu"))
    while not trainer.is_finished:
        trainer.train_epoch()


def bare_process(trials: list[Trial], start: Any, ends: Any) -> None:
    import torch

    import equistudy.training.trainer  # noqa: F401 -- as the runner's processes have it before their first trial

    torch.set_num_threads(1)
    start.wait()
    began = time.time()
    for trial in trials:
        train(trial)
    ends.put((began, time.time()))


def bare(workload: Workload) -> Timings:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as temporary:
        trials = [cell.trial for cell in workload.load(Path(temporary)).study.design.cells()]
    start, ends = context.Barrier(SLOTS), context.Queue()
    processes = [context.Process(target=bare_process, args=(trials[i::SLOTS], start, ends)) for i in range(SLOTS)]
    for process in processes:
        process.start()
    times = [ends.get() for _ in processes]
    for process in processes:
        process.join()
    return {"trials": max(end for _, end in times) - min(began for began, _ in times)}


def plain_worker(config: dict[str, Any]) -> None:
    import torch
    from ray import train as ray_train

    torch.set_num_threads(1)
    train(config["trial"])
    ray_train.report({"done": 1})


def plain_trial(config: dict[str, Any]) -> None:
    from ray import train as ray_train
    from ray import tune
    from ray.train.torch import TorchTrainer

    with tempfile.TemporaryDirectory() as folder:
        TorchTrainer(
            plain_worker,
            train_loop_config={"trial": config["trial"]},
            scaling_config=ray_train.ScalingConfig(num_workers=1),
            run_config=ray_train.RunConfig(storage_path=folder),
        ).fit()
    tune.report({"ended": time.time()})


def plain(workload: Workload) -> Timings:
    """Ray as it comes: only its messages are off."""
    import os

    os.environ["RAY_USAGE_STATS_ENABLED"] = ENVIRONMENT["RAY_USAGE_STATS_ENABLED"]
    os.environ["RAY_AIR_NEW_OUTPUT"] = ENVIRONMENT["RAY_AIR_NEW_OUTPUT"]
    import ray
    from ray import cloudpickle, tune

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # this file is no module of Ray's workers
    with tempfile.TemporaryDirectory() as temporary:
        trials = [cell.trial for cell in workload.load(Path(temporary)).study.design.cells()]
        # each trial takes one CPU for the function and one for its worker
        ray.init(num_cpus=2 * SLOTS, log_to_driver=False, logging_level="error")
        began = time.time()
        grid = tune.Tuner(
            plain_trial,
            param_space={"trial": tune.grid_search(trials)},
            tune_config=tune.TuneConfig(max_concurrent_trials=SLOTS),
            run_config=tune.RunConfig(storage_path=temporary, verbose=0),
        ).fit()
        seconds = time.time() - began
        assert all(result.error is None for result in grid), grid.errors
        ray.shutdown()
    return {"trials": seconds}


def in_fresh_process(function: Callable[[Workload], Timings], workload: Workload) -> Timings:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, workload).result(timeout=600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--examples", type=int, default=512, help="training examples of a trial, which set its length")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--plain-trials", type=int, default=4, help="trials of the plain pattern; 0 leaves it out")
    arguments = parser.parse_args()
    workload = Workload(arguments.trials, arguments.examples)
    loops, runs, plains = [], [], []
    for repetition in range(arguments.repetitions):
        loops.append(in_fresh_process(bare, workload))
        runs.append(in_fresh_process(runner, workload))
        if arguments.plain_trials and repetition < 3:
            few = workload._replace(trials=arguments.plain_trials)
            plains.append(in_fresh_process(plain, few)["trials"] / arguments.plain_trials * arguments.trials)
    print(f"{workload.trials} trials on {SLOTS} processes, seconds: median and range of {len(runs)}")
    print("\n".join(lines(loops, runs, plains, workload.trials)))


def lines(loops: list[Timings], runs: list[Timings], plains: list[float], trials: int) -> Iterator[str]:
    pairs = list(zip(runs, loops, strict=True))
    rows = {
        "bare loop": [loop["trials"] for loop in loops],
        "runner: trials": [run["trials"] for run in runs],
        "runner: Ray starts": [run["ray"] for run in runs],
        "runner: first trial begins after": [run["actors"] for run in runs],
        "runner: first sign, from start": [run["first sign"] for run in runs],
        "runner: end, with Ray's": [run["end"] for run in runs],
        "runner: everything": [run["all"] for run in runs],
        "training of one trial": [run["training"] for run in runs],
        "one trial with its rows": [run["inside"] for run in runs],
        "overhead of one trial (< 0.15)": [(run["trials"] - loop["trials"]) * SLOTS / trials for run, loop in pairs],
        "runner / bare (<= 1.3)": [run["trials"] / loop["trials"] for run, loop in pairs],
        "the same with the end": [(run["trials"] + run["end"]) / loop["trials"] for run, loop in pairs],
    }
    if plains:
        bare_seconds = statistics.median(rows["bare loop"])
        rows["plain pattern, scaled"] = plains
        rows["plain / bare"] = [seconds / bare_seconds for seconds in plains]
    for name, values in rows.items():
        yield f"{name:33} {statistics.median(values):8.2f}   ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
