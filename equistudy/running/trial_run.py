"""One trial from its specs to its rows, in this process: trains, measures, writes. No Ray here.

Order of the writes: weights, curves and measurements first, the trial's row last. The row is the marker; a process that
dies before leaves a checkpoint, from which the next one continues.
"""

import contextlib
import gc
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import torch

from equistudy.datasets.dataset import Modality
from equistudy.measuring.engine import measure_all
from equistudy.measuring.measure import MeasuringResult, Skipped
from equistudy.recipe import Recipe
from equistudy.results.files import LostResultsError
from equistudy.results.schema import CurveRow
from equistudy.results.sealing import DamagedFileError
from equistudy.results.store import StorageError, Store
from equistudy.running.heartbeat import Heartbeat
from equistudy.running.job import UNWRITTEN_REASON, Job, RunConditions, TrialPhase, TrialProgress
from equistudy.running.rows import build_failed_row, build_trial_row, format_skipped, write_measuring_result
from equistudy.running.stored_network import check_fingerprints, checkpoint_path, load_network
from equistudy.running.watchdog import Watchdog
from equistudy.training.device import claim_memory
from equistudy.training.failures import FailureReason, classify_error, describe_error
from equistudy.training.sources import SINGLE_WORKER, Share
from equistudy.training.streamed import Reader, decode_locally
from equistudy.training.subject import build_subject, compute_trial_digest, serialise_weights
from equistudy.training.trainer import Trainer, build_network

__all__ = ["TrialRun", "halve_micro_batch"]

MAX_SAVING_SHARE = 0.01  # how much of the time checkpoints may cost
MIN_SAVING_SECONDS = 1.0  # of training; less is trained again sooner than it is read back


class TrialRun:
    """A trial under way in this process, as an iterator of `TrialProgress`, which ends once the row is written.

    With several workers every process runs one of these on its share, and rank 0 writes. `reader` decodes a set that is
    streamed. Where memory does not suffice, the trial goes on from its checkpoint with half as many images at a time,
    summing gradients, so that its batches stay; several workers leave that to who started them, with `micro_batch`.
    """

    def __init__(
        self,
        job: Job,
        conditions: RunConditions,
        share: Share = SINGLE_WORKER,
        device: torch.device | None = None,
        reader: Reader = decode_locally,
        micro_batch: int | None = None,
    ) -> None:
        self.job, self.conditions, self.share = job.with_writer(), conditions, share
        self._reader, self._micro_batch = reader, micro_batch
        self._store = conditions.store
        self._started = datetime.now(UTC)
        self._device = device or torch.device("cuda" if conditions.use_gpu else "cpu")
        self._trainer: Trainer | None = None
        self._saved_at, self._saving_cost = time.perf_counter(), 0.0
        self._sign = Heartbeat(self._store, job.trial.id)
        self._watchdog = Watchdog(self._store.with_patience(0), self.name, conditions.hang_seconds)
        self.in_a_pause: Callable[[], None] = lambda: None  # called where the trial can be saved, also within an epoch
        self._resumed = 0
        self._over = False

    @property
    def name(self) -> str:
        """The attempt's own name in the results."""
        return f"{self.job.trial.id}.{self.job.attempt}"

    @property
    def _is_writer(self) -> bool:
        return self.share.rank == 0

    def __iter__(self) -> Iterator[TrialProgress]:
        try:
            self._watchdog.mark_alive()
            claim_memory(self._device, self.conditions.gpu_share)
            for progress in self._measure_trained() if self.job.has_row else self._train():
                self._watchdog.suspend()
                yield progress
                self._watchdog.mark_alive()
        except StorageError:
            self._over = True
            raise  # nothing can be written: no failure of the trial
        except Exception as error:
            if self.share.workers > 1 and not isinstance(error, ArithmeticError):
                raise  # the other workers wait for this one: their controller ends them all and writes the row
            self._over = True
            # a bad loss is the sum over all workers: each of them has seen it
            if self._is_writer and not self.job.has_row:
                self._store.write_trial(build_failed_row(self.job, self.conditions, error, self._started))
            if self.conditions.raise_errors:
                raise
            yield self._report_progress(TrialPhase.FAILED, describe_error(error), classify_error(error).value)
        finally:
            self.stop_monitoring()  # also of a run that is dropped half way

    def report_unwritten(self, error: StorageError) -> TrialProgress:
        """The last progress of a trial that ends without a row, because nothing can be written."""
        return self._report_progress(TrialPhase.FAILED, describe_error(error), UNWRITTEN_REASON)

    def _report_progress(self, phase: str, message: str | None = None, reason: str | None = None) -> TrialProgress:
        epoch, epochs = self._trainer.epoch if self._trainer else 0, self.job.trial.recipe.epochs
        progress = TrialProgress(self.job.trial.id, phase, epoch, epochs, str(self.job), message, reason)
        if progress.is_final:
            self.stop_monitoring()
        elif self._is_writer:
            self._sign.update(progress._asdict())
        return progress

    @property
    def scores(self) -> dict[str, float]:
        """The latest value of each curve, by split and name."""
        return {f"{value.split}_{value.name}": value.value for value in self._trainer.curves} if self._trainer else {}

    def stop_monitoring(self) -> None:
        """Takes back the heartbeat that `status` reads in other shells; nobody watches any more."""
        self._watchdog.stop()
        self._sign.stop()

    def _train(self) -> Iterator[TrialProgress]:
        if self._store.has_trial(self.job.trial.id) and self.job.attempt == 0:
            yield self._report_progress(TrialPhase.DONE, "another run of the study has already finished it")
            return
        torch.set_num_threads(self.conditions.threads)
        check_fingerprints(self.job)
        if not self.job.trial.recipe.epochs:
            yield from self._measure_untrained()
            return
        while True:
            try:
                yield from self._train_epochs()
                break
            except Exception as error:
                smaller = self._shrink_micro_batch(error)
                if smaller is None:
                    raise
                self._micro_batch, self._trainer = smaller, None
            _free_memory(self._device)
        assert self._trainer is not None
        self.save(time.perf_counter() - self._saved_at >= MIN_SAVING_SECONDS)
        yield self._report_progress(TrialPhase.MEASURING)  # by every worker: their reports wait for each other
        if self._is_writer:
            self._write_trained(self._trainer)
        yield self._report_progress(TrialPhase.DONE)

    def _train_epochs(self) -> Iterator[TrialProgress]:
        """Trains from the last checkpoint to the end."""
        trainer = self._trainer = self._resume_trainer()
        yield self._report_progress(TrialPhase.TRAINING)
        while not trainer.is_finished:
            trainer.train_epoch(self._pause)
            self.save(self._is_worth_saving())
            yield self._report_progress(TrialPhase.TRAINING)

    def _pause(self) -> None:
        """A pause between two steps."""
        self._sign.check()
        self.save(self._is_worth_saving())
        self.in_a_pause()

    def _shrink_micro_batch(self, error: Exception) -> int | None:
        """How many images at a time to go on with after this error; None where that is no way out."""
        if self.share.workers > 1 or classify_error(error) is not FailureReason.OUT_OF_MEMORY:
            return None
        return halve_micro_batch(self.job.trial.recipe, self._micro_batch, workers=1)

    def _measure_untrained(self) -> Iterator[TrialProgress]:
        """A network that is not trained: measured, and not stored, for its model builds it again bit by bit."""
        yield self._report_progress(TrialPhase.MEASURING)
        if self._is_writer:
            self._measure_and_write(
                build_network(self.job.trial, self._device).eval(), epochs=0, images_seen=0, seconds=0.0
            )
        yield self._report_progress(TrialPhase.DONE)

    def _resume_trainer(self) -> Trainer:
        """Continues from the checkpoint of a process that died, if there is one; a damaged one is set aside."""
        trainer = self._create_trainer()
        state = self._store.read_sealed(checkpoint_path(self.job))
        if state is None:
            return trainer
        try:
            trainer.load(state)
        except Exception as error:  # of any kind: whole, but written by another version
            if classify_error(error) is FailureReason.OUT_OF_MEMORY:
                raise
            self._store.set_aside(checkpoint_path(self.job))
            return self._create_trainer()  # half of the state may have been loaded
        self._resumed = 1
        return trainer

    def _create_trainer(self) -> Trainer:
        trainer = Trainer(self.job.trial, self._device, self.share, self._reader, self._micro_batch)
        trainer.alive = self._watchdog.mark_alive
        return trainer

    def _is_worth_saving(self) -> bool:
        since = time.perf_counter() - self._saved_at
        return since >= MIN_SAVING_SECONDS and self._saving_cost <= MAX_SAVING_SHARE * since

    def save(self, when: bool = True) -> None:
        """Writes the checkpoint, between two epochs or in a pause, so that a later process can continue here."""
        if not (when and self._is_writer and self._trainer and self._trainer.images_seen) or self._over:
            return
        began = time.perf_counter()
        try:
            self._store.with_patience(0).write_sealed(checkpoint_path(self.job), self._trainer.state())
        except LostResultsError:
            raise  # whatever is trained from here on would be lost as well
        except StorageError:
            pass  # the checkpoint of a later pause may come through
        self._saved_at = time.perf_counter()
        self._saving_cost = self._saved_at - began

    def abandon(self) -> None:
        """Ends a trial early. Its curves are written if that works at once: they show what stopped it."""
        if self._trainer and self._trainer.epoch and self._is_writer and not self._over:
            with contextlib.suppress(StorageError):
                self._write_curves(self._trainer, self._store.with_patience(0))
        self._over = True
        self.stop_monitoring()

    def _write_curves(self, trainer: Trainer, store: Store) -> None:
        curves = [CurveRow(value.epoch, value.split, value.name, value.value) for value in trainer.curves]
        store.write_curves(self.job.trial.id, self.job.attempt, curves, self.job.writer)

    def _write_trained(self, trainer: Trainer) -> None:
        """Weights and curves, then what all networks have."""
        job, trial = self.job, self.job.trial
        # two machines that both take themselves for this attempt must not overwrite the weights of the other's row
        weights = f"weights/{trial.id}.{job.attempt}.{job.writer}.safetensors"
        self._store.write_bytes(weights, serialise_weights(trainer.network, trial))
        self._write_curves(trainer, self._store)
        self._measure_and_write(
            trainer.network,
            epochs=trainer.epoch,
            images_seen=trainer.images_seen,
            seconds=trainer.seconds,
            weights=weights,
            micro_batch=trainer.work.micro_batch,
            compiled=trainer.work.compiled,
        )

    def _measure_and_write(self, network: torch.nn.Module, **values: Any) -> None:
        """The measurements, then the row."""
        began = time.perf_counter()
        skipped = self._measure(network)
        row = build_trial_row(
            self.job,
            self.conditions,
            self._started,
            status="done",
            scores=json.dumps(self.scores),
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            network_digest=compute_trial_digest(network),
            measuring_seconds=time.perf_counter() - began,
            skipped=format_skipped(skipped),
            resumed=self._resumed,
            **values,
        )
        self._store.write_trial(row)
        self._store.delete(checkpoint_path(self.job))
        self._over = True

    def _measure(self, network: torch.nn.Module) -> list[Skipped]:
        """Writes the rows of all measures of the job; gives what could not be measured."""
        if not self.job.measures:
            return []
        if self.job.trial.dataset.modality is not Modality.IMAGES:
            absent = [Skipped(measure.name, "output", None, "measures look at images") for measure in self.job.measures]
            write_measuring_result(self.job, self._store, MeasuringResult([], absent))
            return absent
        result = measure_all(self.job.measures, build_subject(self.job.trial, network.eval(), self._device))
        write_measuring_result(self.job, self._store, result)
        return result.skipped

    def _measure_trained(self) -> Iterator[TrialProgress]:
        """Measures a network that an earlier run trained, or took as it is.

        Where its weights are damaged or gone, the trial is trained again, as its next attempt and with all measures.
        """
        torch.set_num_threads(self.conditions.threads)
        yield self._report_progress(TrialPhase.MEASURING)
        try:
            network = load_network(self.job, self._store, self._device)
        except (DamagedFileError, FileNotFoundError):
            if not (self.job.every_measure and self.job.trial.recipe.epochs):
                raise
            self.job = self.job.build_retraining()
            yield from self._train()
            return
        self._measure(network)
        yield self._report_progress(TrialPhase.DONE)


def halve_micro_batch(recipe: Recipe, micro_batch: int | None, workers: int) -> int | None:
    """Half of what a worker passed through the network at once; None where that was one sample."""
    before = micro_batch or recipe.micro_batch or -(-recipe.batch_size // workers)
    return before // 2 or None


def _free_memory(device: torch.device) -> None:
    """Gives back what the failed attempt held; its frames are gone by now."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
