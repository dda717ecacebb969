"""Ray Tune as the scheduler of trials: reused actors for one worker, a Train run for several."""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.tune.execution.placement_groups import PlacementGroupFactory

from equistudy.execution.cluster import Resources
from equistudy.execution.distributed_trial import MAX_RESTARTS, is_death, run_distributed_trial
from equistudy.execution.job_source import JobSource
from equistudy.execution.streaming import RayReader
from equistudy.results.schema import TrialRow
from equistudy.results.store import StorageError
from equistudy.running.job import UNWRITTEN_REASON, Job, RunConditions, TrialPhase, TrialProgress
from equistudy.running.preemption import PreemptionAllowance, PreemptionNotice, consume_preemption
from equistudy.running.rows import build_failed_row, build_stopped_row
from equistudy.running.trial_run import TrialRun
from equistudy.running.watchdog import load_stacks
from equistudy.training.failures import FailureReason, HungError, StartError, describe_error

__all__ = ["run_jobs"]

IMPORT_FAILURE_MESSAGE = "failed to import on the worker"  # Ray's words for an actor whose class cannot be read there
EXCEPTION_LINE = re.compile(r"[\w.]+(Error|Exception|Exit)\b: ")  # the line that ends a traceback
NODE_ADDRESS = re.compile(r"\bip=([^,)]+)")
# A controller only waits. Any share of a CPU would be missing where the workers of one trial need all CPUs, and the
# trial would wait forever; every cluster's head node has one unit of this resource.
CONTROLLER_RESOURCES = {"node:__internal_head__": 0.001}


class TrialActor(tune.Trainable):
    """Trains one trial after the other in one process: no process start and no import of torch between two trials."""

    def setup(self, config: dict[str, Any], source: JobSource, conditions: RunConditions) -> None:
        """Takes the first trial."""
        self._source, self._conditions = source, conditions
        self._notice = PreemptionNotice(conditions.store)
        self._begin_trial(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next trial; one that the scheduler gave up leaves its curves."""
        self._run.abandon()
        self._begin_trial(new_config)
        return True

    def _begin_trial(self, config: Mapping[str, Any]) -> None:
        job = self._source.build_job(config)
        self._run = TrialRun(job, self._conditions, reader=RayReader(self._conditions.threads))
        self._run.in_a_pause = self._exit_if_preempted
        self._again = dict(self._source.get_history(job))
        self._progress = self._replay_epochs(job)
        self._notice.trial = self._run.name

    def _exit_if_preempted(self) -> None:
        """Between two steps or epochs: a preempted process saves its trial and exits."""
        if self._notice.given:
            self.cleanup()
            self._notice.exit_process()

    def _replay_epochs(self, job: Job) -> Iterator[TrialProgress]:
        """The epochs of a trial that is over, for a scheduler that begins anew, and then the trial."""
        for epoch in self._again:
            yield TrialProgress(job.trial.id, TrialPhase.TRAINING, epoch, job.trial.recipe.epochs, str(job))
        yield from self._run

    def step(self) -> dict[str, Any]:
        """Works until the next report is due, or to the end of the trial.

        Where nothing can be written, the trial ends without a row. An exception would start it again, and every new
        process would wait for the same storage.
        """
        try:
            progress = self._advance()
        except StorageError as error:
            progress = self._run.report_unwritten(error)
        except BaseException:
            self._notice.trial = None  # Tune ends this process by SIGTERM, which is then no preemption
            raise
        if progress.is_final:
            self._notice.trial = None  # nothing to save
        again = self._again.get(progress.epoch)
        told = self._source.get_scores(self._run.job, self._run.scores, again)
        return {**progress._asdict(), **told, "done": progress.is_final, "writer": self._run.job.writer}

    def _advance(self) -> TrialProgress:
        """The next progress that is due for a report."""
        deadline = time.perf_counter() + self._source.report_seconds
        for progress in self._progress:
            # from the last epoch it goes on to the row: a scheduler that ends trials there would leave it without one
            due = time.perf_counter() > deadline and progress.epoch < progress.epochs
            if not progress.is_final:
                self._exit_if_preempted()
            if progress.is_final or due:
                return progress
        raise RuntimeError(f"A trial must end with a final report, got none from {self._run.job}. Report this bug.")

    def cleanup(self) -> None:
        """Saves what a trial that is stopped early has learned so far; what ends the process now preempts nothing."""
        with contextlib.suppress(StorageError):  # the results are gone, and nobody is left to stop
            self._run.save()
        self._run.abandon()
        self._notice.trial = None

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing: a trial's checkpoint lies in the results. Tune reuses an actor only if it has this method."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: see `save_checkpoint`."""


def _load_error(trial: Any) -> BaseException | None:
    """What Tune has just written down as the trial's error: the error of its own code, or the death of its process."""
    path = Path(trial.pickled_error_file or "")
    if not path.is_file():
        return None
    error: BaseException = cloudpickle.loads(path.read_bytes())
    if getattr(error, "actor_init_failed", False) or IMPORT_FAILURE_MESSAGE in str(error):
        return explain_failed_start(str(error))
    return error.cause if isinstance(error, ray.exceptions.RayTaskError) else error


def explain_failed_start(told_by_ray: str) -> StartError:
    """Why a process for trials has not begun, and where, out of the tracebacks that Ray tells."""
    lines = [line.strip() for line in told_by_ray.splitlines()]
    raised = [line for line in lines if EXCEPTION_LINE.match(line)] or lines
    node = NODE_ADDRESS.search(told_by_ray)
    return StartError(f"a process for trials cannot begin{f' on {node[1]}' if node else ''}: {raised[-1]}")


class _Stateless:
    """Tune pickles its callbacks into the experiment's state, which is thrown away: nothing of ours belongs there."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _ProgressCallback(_Stateless, tune.Callback):
    """Turns Tune's callbacks into progress, and writes the row of a trial whose process cannot be kept alive."""

    def __init__(
        self,
        source: JobSource,
        conditions: RunConditions,
        tell: Callable[[TrialProgress], None],
        asked: Callable[[], bool],
    ) -> None:
        self._source, self._conditions, self._tell, self._asked = source, conditions, tell, asked
        self._epochs: dict[str, int] = {}
        self._preemptions = PreemptionAllowance()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported."""
        if "phase" not in result:
            return
        if result["epoch"] > self._epochs.get(trial.trial_id, 0):
            # a trial that finishes epochs between two deaths does not kill its processes
            self._epochs[trial.trial_id], trial.run_metadata.num_failures = result["epoch"], 0
            self._preemptions.renew(trial.trial_id)
        self._tell(TrialProgress(**{name: result[name] for name in TrialProgress._fields}))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial starts again. A preemption does not count as a failure; an error of the trial's own is none."""
        job, error, phase = self._source.build_job(trial.config), _load_error(trial), TrialPhase.DIED
        died = error is None or is_death(error)
        if self._consume_preemption(job) and died and self._preemptions.spend(trial.trial_id):
            trial.run_metadata.num_failures -= 1
            phase = TrialPhase.PREEMPTED
        why = None if error is None or died else describe_error(error)
        reason = FailureReason.WORKER_DIED.value if isinstance(error, StartError) else None
        self._report(trial, job, phase, why, reason)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process has died more often than it is started again."""
        job = self._source.build_job(trial.config)
        error, stacks = _load_error(trial), None
        self._consume_preemption(job)
        if error is None:
            self._report(trial, job, TrialPhase.FAILED, "its process is gone")
            return
        if is_death(error) or isinstance(error, StartError):
            with contextlib.suppress(StorageError):
                stacks = load_stacks(self._conditions.store, f"{job.trial.id}.{job.attempt}")
        if stacks is not None:
            error = HungError(
                f"{stacks.partition(chr(10))[0]}, {MAX_RESTARTS + 1} times. Raise --hang-minutes if it was only slow."
            )
        row = build_failed_row(job, self._conditions, error, datetime.now(UTC), stacks)
        self._end(trial, job, TrialPhase.FAILED, row, row.message, row.reason)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial is over; before its end, where the scheduler of a search gave it up."""
        result = trial.last_result
        if self._asked() or result.get("phase") != TrialPhase.TRAINING:
            return
        job, row = self._source.build_job(trial.config), None
        if not self._conditions.store.has_trial(job.trial.id):  # else its epochs were replayed in another order
            known = {name: value for name, value in result.items() if name.startswith("test_")}
            scores = self._source.get_scores(job, known)
            job = replace(job, writer=result.get("writer"))  # whose curves the process has written, or is writing
            row = build_stopped_row(job, self._conditions, result["epoch"], scores)
        self._end(trial, job, TrialPhase.STOPPED, row)

    def _consume_preemption(self, job: Job) -> bool:
        try:
            return consume_preemption(self._conditions.store, f"{job.trial.id}.{job.attempt}")
        except StorageError:
            return False

    def _end(
        self,
        trial: Any,
        job: Job,
        phase: str,
        row: TrialRow | None,
        message: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Writes the trial's row, unless it has one already, and reports how it ended."""
        try:
            if row is not None and not job.has_row:
                self._conditions.store.write_trial(row)
        except StorageError as error:
            phase, message, reason = TrialPhase.FAILED, describe_error(error), UNWRITTEN_REASON
        self._report(trial, job, phase, message, reason)

    def _report(self, trial: Any, job: Job, phase: str, message: str | None = None, reason: str | None = None) -> None:
        epochs = self._epochs.get(trial.trial_id, 0), job.trial.recipe.epochs
        self._tell(TrialProgress(job.trial.id, phase, *epochs, str(job), message, reason))


class _StopOnRequest(_Stateless, tune.Stopper):
    """Ends the run between two reports once `asked` says so; running trials keep their checkpoints."""

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether the user asked."""
        return self._asked()


def run_jobs(
    source: JobSource,
    conditions: RunConditions,
    resources: Resources,
    tell: Callable[[TrialProgress], None],
    asked_to_stop: Callable[[], bool],
) -> None:
    """Runs the jobs on the connected cluster until each has its row, or until the user asks to stop."""
    # Tune looks for the files of its own loggers, which are off: a trial's numbers are in its rows. Deaths are reported
    # by _ProgressCallback.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with TemporaryDirectory(prefix="equistudy-") as folder:
        tune.Tuner(
            _build_trainable(source, conditions, resources),
            param_space=source.build_space(),
            tune_config=tune.TuneConfig(
                max_concurrent_trials=resources.max_concurrent, reuse_actors=True, **source.build_tune_options()
            ),
            run_config=tune.RunConfig(
                name="run",
                storage_path=folder,
                verbose=0,
                callbacks=[_ProgressCallback(source, conditions, tell, asked_to_stop)],
                failure_config=tune.FailureConfig(max_failures=MAX_RESTARTS),
                stop=_StopOnRequest(asked_to_stop),
            ),
        ).fit()


def _build_trainable(source: JobSource, conditions: RunConditions, resources: Resources) -> Any:
    """The actor for trials of one worker, or the function that controls a Train run."""
    if resources.workers == 1:
        actor = tune.with_parameters(TrialActor, source=source, conditions=conditions)
        return tune.with_resources(actor, {"cpu": resources.cpus, "gpu": resources.gpus or 0})
    function = tune.with_parameters(run_distributed_trial, source=source, conditions=conditions, resources=resources)
    return tune.with_resources(function, PlacementGroupFactory([CONTROLLER_RESOURCES]))
