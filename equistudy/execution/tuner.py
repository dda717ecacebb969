"""Ray Tune as the scheduler of trials: reused actors for one worker, a Train run for several."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray import cloudpickle, train, tune
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.integration.ray_train import TuneReportCallback

from equistudy.execution.cluster import Resources
from equistudy.execution.job_source import JobSource
from equistudy.execution.streaming import RayReader
from equistudy.running.job import Job, RunConditions, TrialPhase, TrialProgress
from equistudy.running.preemption import PreemptionNotice, consume_preemption
from equistudy.running.rows import build_failed_row, build_stopped_row
from equistudy.running.trial_run import TrialRun, digest_checkpoint, halve_micro_batch
from equistudy.running.watchdog import load_stacks
from equistudy.training.failures import FailureReason, HungError, StartError, classify_error, describe_error
from equistudy.training.sources import Share

__all__ = ["run_jobs"]

MAX_RESTARTS = 3  # how often a trial starts again, without a new epoch, after its process or its node has died
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
        """Between two steps or epochs: a process that was told to end keeps what it has and goes."""
        if self._notice.given:
            self.cleanup()
            self._notice.exit_process()

    def _replay_epochs(self, job: Job) -> Iterator[TrialProgress]:
        """The epochs of a trial that is over, for a scheduler that begins anew, and then the trial."""
        for epoch in self._again:
            yield TrialProgress(job.trial.id, TrialPhase.TRAINING, epoch, job.trial.recipe.epochs, str(job))
        yield from self._run

    def step(self) -> dict[str, Any]:
        """Works until the next report is due, or to the end of the trial."""
        deadline = time.perf_counter() + self._source.report_seconds
        for progress in self._progress:
            # from the last epoch it goes on to the row: a scheduler that ends trials there would leave it without one
            due = time.perf_counter() > deadline and progress.epoch < progress.epochs
            if progress.is_final:
                self._notice.trial = None  # nothing to keep
            else:
                self._exit_if_preempted()
            if progress.is_final or due:
                break
        again = self._again.get(progress.epoch)
        told = self._source.get_scores(self._run.job, self._run.scores, again)
        return {**progress._asdict(), **told, "done": progress.is_final}

    def cleanup(self) -> None:
        """Keeps what a trial that is stopped early has learned so far."""
        self._run.save()
        self._run.abandon()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing: a trial's checkpoint lies in the results. Tune reuses an actor only if it has this method."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: see `save_checkpoint`."""


def _train_worker(config: dict[str, Any]) -> None:
    """One of the workers of a Train run: the same TrialRun on its share of every batch."""
    context = train.get_context()
    share = Share(context.get_world_rank(), context.get_world_size())
    # the workers of a node see each other's GPUs: Train says which one is this worker's
    device, reader = get_device(), RayReader(config["conditions"].threads)
    for progress in TrialRun(config["job"], config["conditions"], share, device, reader, config["micro_batch"]):
        train.report(progress._asdict())


def _train_trial(config: dict[str, Any], source: JobSource, conditions: RunConditions, resources: Resources) -> None:
    """Spreads one trial over several workers, from a Tune function that itself only waits.

    Starts again after a death. An error of the trial's own is met a second time before it counts: when one worker dies,
    the others fail too, in ways that look like bugs. Where memory did not suffice, it goes on with half as many samples
    at a time.
    """
    job, started = source.build_job(config), datetime.now(UTC)
    micro_batch: int | None = None
    seen: list[str] = []
    learned = digest_checkpoint(job, conditions)
    while True:
        try:
            with TemporaryDirectory() as folder:
                _build_trainer(job, conditions, resources, folder, micro_batch).fit()
        except train.TrainingFailedError as error:
            cause = _find_cause(error)
            if classify_error(cause) is FailureReason.OUT_OF_MEMORY:
                smaller = halve_micro_batch(job.trial.recipe, micro_batch, conditions.workers)
                if smaller is not None:
                    micro_batch = smaller
                    continue
            before, learned = learned, digest_checkpoint(job, conditions)
            if learned != before:
                seen.clear()  # it gets on between two deaths
            if len(seen) < MAX_RESTARTS and (_is_death(cause) or repr(cause) not in seen):
                seen.append(repr(cause))
                continue
            row = build_failed_row(job, conditions, cause, started, str(error))
            conditions.store.write_trial(row)
            last = TrialProgress(
                job.trial.id, TrialPhase.FAILED, 0, job.trial.recipe.epochs, str(job), describe_error(cause), row.reason
            )
            tune.report({**last._asdict(), **source.get_scores(job, {}), "done": True})
        else:
            tune.report({**source.get_scores(job, {}), "done": True})  # rank 0 has told the rest
        return


def _build_trainer(
    job: Job, conditions: RunConditions, resources: Resources, folder: str, micro_batch: int | None
) -> TorchTrainer:
    """A Train run of this trial; what Train itself stores goes to a folder that is thrown away."""
    per_worker = {"CPU": resources.cpus, **({"GPU": resources.gpus} if resources.gpus else {})}
    return TorchTrainer(
        _train_worker,
        train_loop_config={"job": job, "conditions": conditions, "micro_batch": micro_batch},
        torch_config=TorchConfig(backend="nccl" if resources.gpus else "gloo"),
        scaling_config=train.ScalingConfig(
            num_workers=resources.workers, use_gpu=bool(resources.gpus), resources_per_worker=per_worker
        ),
        run_config=train.RunConfig(name=job.trial.id, storage_path=folder, callbacks=[TuneReportCallback()]),
    )


def _find_cause(error: train.TrainingFailedError) -> BaseException:
    """The death of a worker, if one died; else what the first of them raised; else Train's own error."""
    raised = list(getattr(error, "worker_failures", {}).values())
    return next((failure for failure in raised if _is_death(failure)), raised[0] if raised else error)


def _is_death(error: BaseException) -> bool:
    """Whether Ray says that a process or a node is gone, and not the trial's own code that something is wrong."""
    return type(error).__module__.partition(".")[0] == "ray"


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
    """Turns Tune's callbacks into progress, and stops the rest when a trial's process cannot be kept alive."""

    def __init__(
        self,
        source: JobSource,
        conditions: RunConditions,
        tell: Callable[[TrialProgress], None],
        asked: Callable[[], bool],
    ) -> None:
        self._source, self._conditions, self._tell, self._asked = source, conditions, tell, asked
        self._epochs: dict[str, int] = {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported."""
        if "phase" not in result:
            return
        if result["epoch"] > self._epochs.get(trial.trial_id, 0):
            # what gets on between two deaths is no trial that kills its processes
            self._epochs[trial.trial_id], trial.run_metadata.num_failures = result["epoch"], 0
        self._tell(TrialProgress(**{name: result[name] for name in TrialProgress._fields}))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process has died, and starts again. A preemption is not counted."""
        job = self._source.build_job(trial.config)
        notice, phase = f"{job.trial.id}.{job.attempt}", TrialPhase.DIED
        if consume_preemption(self._conditions.store, notice):
            trial.run_metadata.num_failures -= 1
            phase = TrialPhase.PREEMPTED
        epochs = self._epochs.get(trial.trial_id, 0), job.trial.recipe.epochs
        error = _load_error(trial)
        why = None if error is None or _is_death(error) else describe_error(error)
        reason = FailureReason.WORKER_DIED.value if isinstance(error, StartError) else None
        self._tell(TrialProgress(job.trial.id, phase, *epochs, str(job), why, reason))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process died more often than it is started again, or could not write."""
        job = self._source.build_job(trial.config)
        error, reason = _load_error(trial), None
        message = "its process is gone" if error is None else describe_error(error)
        if error is not None and (_is_death(error) or isinstance(error, StartError)):
            stacks = load_stacks(self._conditions.store, f"{job.trial.id}.{job.attempt}")
            if stacks is not None:
                error = HungError(
                    f"{stacks.partition(chr(10))[0]}, {MAX_RESTARTS + 1} times. Raise --hang-minutes if it works."
                )
                message = describe_error(error)
            row = build_failed_row(job, self._conditions, error, datetime.now(UTC), stacks)
            reason = row.reason
            self._conditions.store.write_trial(row)
        self._tell(
            TrialProgress(job.trial.id, TrialPhase.FAILED, 0, job.trial.recipe.epochs, str(job), message, reason)
        )

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial is over; before its end, where the scheduler of a search gave it up."""
        result = trial.last_result
        if self._asked() or result.get("phase") != TrialPhase.TRAINING:
            return
        job = self._source.build_job(trial.config)
        if self._conditions.store.has_trial(job.trial.id):  # told again in another order, and over all the same
            self._tell(TrialProgress(job.trial.id, TrialPhase.STOPPED, result["epoch"], result["epochs"], str(job)))
            return
        told = self._source.get_scores(job, {name: value for name, value in result.items() if name.startswith("test_")})
        self._conditions.store.write_trial(build_stopped_row(job, self._conditions, result["epoch"], told))
        self._tell(TrialProgress(job.trial.id, TrialPhase.STOPPED, result["epoch"], result["epochs"], str(job)))


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
    # Tune looks for the files of its own loggers, which are off: a trial's numbers are in its rows
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # deaths are told by _Events
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
    function = tune.with_parameters(_train_trial, source=source, conditions=conditions, resources=resources)
    return tune.with_resources(function, PlacementGroupFactory([CONTROLLER_RESOURCES]))
