"""One trial spread over several workers: a Tune function that controls a Train run and starts it again after deaths."""

from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any

from ray import train, tune
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.tune.integration.ray_train import TuneReportCallback

from equistudy.execution.cluster import Resources
from equistudy.execution.job_source import JobSource
from equistudy.execution.streaming import RayReader
from equistudy.results.store import StorageError
from equistudy.running.job import UNWRITTEN_REASON, Job, RunConditions, TrialPhase, TrialProgress
from equistudy.running.rows import build_failed_row
from equistudy.running.stored_network import count_saved_steps
from equistudy.running.trial_run import TrialRun, halve_micro_batch
from equistudy.training.failures import FailureReason, classify_error, describe_error
from equistudy.training.sources import Share

__all__ = ["MAX_RESTARTS", "is_death", "run_distributed_trial"]

MAX_RESTARTS = 3  # how often a trial starts again, without progress, after its process or its node has died


def run_distributed_trial(
    config: dict[str, Any], source: JobSource, conditions: RunConditions, resources: Resources
) -> None:
    """Spreads one trial over several workers, from a Tune function that itself only waits.

    Where nothing can be written, the trial ends without a row: another start would wait for the same storage.
    """
    job = source.build_job(config)
    try:
        last = _train(job, conditions, resources)
    except StorageError as error:
        last = _report_failure(job, error, UNWRITTEN_REASON)
    progress = {} if last is None else last._asdict()  # rank 0 has reported the rest
    tune.report({**progress, **source.get_scores(job, {}), "done": True})


def _train(job: Job, conditions: RunConditions, resources: Resources) -> TrialProgress | None:
    """Trains to the trial's row; its last progress where the row is that of a failure. Raises StorageError.

    Starts again after a death, `MAX_RESTARTS` times without more steps in the checkpoint than ever before. An error of
    the trial's own must occur twice to count: when one worker dies, the others fail as well, in ways that look like
    bugs. Where memory did not suffice, it continues with half as many samples at a time.
    """
    started, micro_batch = datetime.now(UTC), None
    seen: list[str] = []
    most = count_saved_steps(job, conditions)
    while True:
        try:
            with TemporaryDirectory() as folder:
                _build_trainer(job, conditions, resources, folder, micro_batch).fit()
        except train.TrainingFailedError as error:
            cause = _find_cause(error)
            if isinstance(cause, StorageError):
                return _report_failure(job, cause, UNWRITTEN_REASON)
            if classify_error(cause) is FailureReason.OUT_OF_MEMORY:
                smaller = halve_micro_batch(job.trial.recipe, micro_batch, conditions.workers)
                if smaller is not None:
                    micro_batch = smaller
                    continue
            steps = count_saved_steps(job, conditions)
            if steps > most:
                most = steps
                seen.clear()
            if len(seen) < MAX_RESTARTS and (is_death(cause) or repr(cause) not in seen):
                seen.append(repr(cause))
                continue
            row = build_failed_row(job, conditions, cause, started, str(error))
            if not job.has_row:
                conditions.store.write_trial(row)
            return _report_failure(job, cause, row.reason)
        return None


def _report_failure(job: Job, error: BaseException, reason: str | None) -> TrialProgress:
    epochs, message = job.trial.recipe.epochs, describe_error(error)
    return TrialProgress(job.trial.id, TrialPhase.FAILED, 0, epochs, str(job), message, reason)


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


def _train_worker(config: dict[str, Any]) -> None:
    """One of the workers of a Train run: the same TrialRun on its share of every batch."""
    context = train.get_context()
    share = Share(context.get_world_rank(), context.get_world_size())
    # the workers of a node see each other's GPUs: Train says which one is this worker's
    device, reader = get_device(), RayReader(config["conditions"].threads)
    for progress in TrialRun(config["job"], config["conditions"], share, device, reader, config["micro_batch"]):
        train.report(progress._asdict())


def _find_cause(error: train.TrainingFailedError) -> BaseException:
    """Why a Train run failed: storage that cannot be written, else a worker's death, else a worker's error."""
    raised = list(getattr(error, "worker_failures", {}).values())
    for is_cause in (lambda failure: isinstance(failure, StorageError), is_death):
        for failure in raised:
            if is_cause(failure):
                return failure
    return raised[0] if raised else error


def is_death(error: BaseException) -> bool:
    """Whether Ray reports that a process or a node is gone, rather than an error of the trial's own code."""
    return type(error).__module__.partition(".")[0] == "ray"
