"""Trains one network epoch by epoch, with a state that can be saved as bytes between epochs."""

import io
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.datasets.dataset import Split
from equistudy.datasets.resident import load_resident
from equistudy.float32 import use_full_float32
from equistudy.study.trial import RandomStream, Trial, derive_seed
from equistudy.training.batches import (
    compute_batch_sizes,
    count_batches,
    iterate_evaluation_batches,
    iterate_training_batches,
)
from equistudy.training.checks import check_data, check_trainable
from equistudy.training.device import check_device
from equistudy.training.extents import compute_final_extents
from equistudy.training.failures import DivergedError, NotANumberError
from equistudy.training.sources import SINGLE_WORKER, Share, build_source
from equistudy.training.step import TrainingStep, enforce_determinism
from equistudy.training.streamed import Reader, decode_locally

__all__ = ["CurveValue", "Trainer", "build_network"]

MAX_EVALUATIONS = 10  # evaluations on the test split during training, at most
PAUSE_STEPS = 16  # steps between two points at which an epoch can be saved
MAX_BATCH_VALUES = 2**22  # numbers in an evaluation batch
DIVERGENCE_FACTOR = 100.0  # a finite loss may reach this multiple of its first value


class CurveValue(NamedTuple):
    """One value of a learning curve, after `epoch` epochs."""

    epoch: int
    split: str
    name: str
    value: float


def build_network(trial: Trial, device: torch.device) -> nn.Module:
    """The untrained network of a trial, initialised from the replicate's seed without changing global state."""
    outputs = trial.task.num_outputs(trial.dataset)
    preprocessing = trial.model.preprocessing(trial.dataset)
    shape = preprocessing.input_shape(trial.dataset.input_shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(trial.seed, RandomStream.INITIALISATION))
        network = trial.model.build(shape, outputs)
    network = trial.augmentation.wrap(network, trial.dataset, preprocessing.mean, preprocessing.std)
    # Channels last is 15 to 30 % faster on CPU (ResNet-8, widths 4 to 32, one thread) and preferred by tensor cores.
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


class Trainer:
    """One trial in training.

    With several workers `torch.distributed` must be initialised; each process then trains on its share of every batch,
    and all hold the same network. The losses equal those of a single worker up to rounding, because gradients and
    batch-norm statistics are over the whole batch. `reader` decodes a streamed dataset. `micro_batch` limits the number
    of inputs per forward pass if memory does not suffice for the recipe's batches.
    """

    def __init__(
        self,
        trial: Trial,
        device: torch.device,
        share: Share = SINGLE_WORKER,
        reader: Reader = decode_locally,
        micro_batch: int | None = None,
    ) -> None:
        self.trial, self.device, self.share = trial, device, share
        self.epoch, self.step = 0, 0  # completed epochs, and completed steps of the next one
        self.seconds = 0.0
        self.curves: list[CurveValue] = []
        self.alive: Callable[[], None] = lambda: None  # called after every step
        self._first_loss: float | None = None
        self._stopped = False  # because the recipe's target loss was reached
        check_device(device)
        self.source = build_source(trial.dataset, device, reader)
        self._test = load_resident(trial.dataset, Split.TEST, device)
        check_data(trial, self.source, self._test)
        check_trainable(trial, len(self.source), device, share)
        self.work = TrainingStep(trial, build_network(trial, device), share, micro_batch or trial.recipe.micro_batch)
        self._loss = torch.zeros((), device=device, dtype=torch.float64)  # over this epoch and all workers
        self._random: list[bytes] | None = None  # states of each worker's random generators

    @property
    def network(self) -> nn.Module:
        """The network that is evaluated and stored: the averaged one, if the recipe averages weights."""
        return self.work.network if self.work.average is None else self.work.average

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done, or the training loss has reached the recipe's target."""
        return self.epoch >= self.trial.recipe.epochs or self._stopped

    @property
    def images_seen(self) -> int:
        """The number of training images that the network has seen, over all workers."""
        done = compute_batch_sizes(len(self.source), self.trial.recipe.batch_size)[: self.step]
        return self.epoch * len(self.source) + sum(done)

    def train_epoch(self, between: Callable[[], None] = lambda: None) -> list[CurveValue]:
        """Trains one epoch; returns its curve values: the training loss, and at some epochs the test scores.

        Calls `between` every few steps, when `state` may be called. Raises NotANumberError or DivergedError according
        to the epoch's mean loss; the state is then unusable.
        """
        began = time.perf_counter()
        share = torch.zeros_like(self._loss)
        for step_loss in self.run_steps():
            share += step_loss
            self.step += 1
            self.alive()
            if self.step % PAUSE_STEPS == 0:
                self._loss += self._sum_over_workers(share)
                share.zero_()
                self._random = self._collect_random_states()
                self.seconds, began = self.seconds + time.perf_counter() - began, time.perf_counter()
                between()
        loss = float(self._loss + self._sum_over_workers(share)) / len(self.source)
        self.epoch += 1
        self._check_loss(loss)
        self._stopped = self.trial.recipe.stop_loss is not None and loss <= self.trial.recipe.stop_loss
        values = [CurveValue(self.epoch, Split.TRAIN.value, "loss", loss), *self._finish_trajectory()]
        self.step, self._random = 0, None
        self._loss.zero_()
        every = -(-self.trial.recipe.epochs // MAX_EVALUATIONS)
        if self.epoch % every == 0 or self.is_finished:
            scores = self.evaluate()
            values += [CurveValue(self.epoch, Split.TEST.value, name, value) for name, value in scores.items()]
        self.curves += values
        self.seconds += time.perf_counter() - began
        return values

    def _finish_trajectory(self) -> list[CurveValue]:
        """The curve values of a learned augmentation for an epoch, from its half-extents at each step."""
        if self.work.watched is None:
            return []
        values = self.work.watched.finish_epoch()
        if self.is_finished:
            before = {name: [value.value for value in self.curves if value.name == name] for name in values}
            values |= compute_final_extents(
                self.trial, {name: [*before[name], value] for name, value in values.items()}
            )
        return [CurveValue(self.epoch, Split.TRAIN.value, name, value) for name, value in values.items()]

    def run_steps(self) -> Iterator[Float[Tensor, ""]]:
        """Runs the optimiser steps of the next epoch; yields the summed loss of this process's share after each."""
        trial, recipe = self.trial, self.trial.recipe
        steps = count_batches(len(self.source), recipe.batch_size)
        batches = iterate_training_batches(self.source, trial, self.epoch, self.share, self.step)
        self.work.parallel.train()
        with (
            torch.random.fork_rng(devices=self._random_devices),
            use_full_float32(),
            enforce_determinism(recipe.deterministic),
        ):
            # Dropout and others use torch's global generator, which is seeded by replicate, epoch and rank.
            torch.manual_seed(derive_seed(trial.seed, RandomStream.INITIALISATION, self.epoch) + self.share.rank)
            if self._random is not None:
                self._restore_random_states(self._random[self.share.rank])
            for step, batch in enumerate(batches, self.epoch * steps + self.step):
                yield self.work.run(batch, recipe.schedule.factor(step / (steps * recipe.epochs)))

    @property
    def _random_devices(self) -> list[torch.device]:
        return [self.device] if self.device.type == "cuda" else []

    def _collect_random_states(self) -> list[bytes]:
        """The states of the random generators of each worker."""
        mine = [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in self._random_devices)]
        state = torch.cat(mine).numpy().tobytes()
        states: list[Any] = [state] * self.share.workers
        if self.share.workers > 1:
            dist.all_gather_object(states, state)
        return states

    def _restore_random_states(self, state: bytes) -> None:
        values = torch.frombuffer(bytearray(state), dtype=torch.uint8)
        size = len(torch.get_rng_state())
        torch.set_rng_state(values[:size])
        for device in self._random_devices:
            torch.cuda.set_rng_state(values[size:], device)

    def _sum_over_workers(self, value: Tensor) -> Tensor:
        if self.share.workers > 1:
            dist.all_reduce(value)
        return value

    def _check_loss(self, loss: float) -> None:
        if not torch.isfinite(torch.tensor(loss)):
            raise NotANumberError(
                f"The training loss is {loss} after epoch {self.epoch}. Lower the learning rate, clip the gradient "
                "(clip_norm) or use float32."
            )
        self._first_loss = loss if self._first_loss is None else self._first_loss
        if loss > DIVERGENCE_FACTOR * self._first_loss:
            raise DivergedError(
                f"The training loss grew from {self._first_loss:.3g} to {loss:.3g} by epoch {self.epoch}, more than "
                f"{DIVERGENCE_FACTOR:g} times. Lower the learning rate or clip the gradient (clip_norm)."
            )

    @torch.inference_mode()
    @use_full_float32()
    def evaluate(self) -> dict[str, float]:
        """Mean loss and scores on the test split, over all workers."""
        task, dataset, count = self.trial.task, self.trial.dataset, len(self._test.inputs)
        self.network.eval()
        sums: dict[str, Tensor] = {}
        for batch in iterate_evaluation_batches(self._test, self.trial, self._choose_evaluation_size(), self.share):
            outputs, targets = self.network(batch.inputs), task.prepare_targets(batch.targets, dataset)
            for name, value in {"loss": task.loss(outputs, targets), **task.score(outputs, targets)}.items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device, dtype=torch.float64)) + value
            self.alive()
        totals = {name: self._sum_over_workers(value) for name, value in sums.items()}
        return {"loss": float(totals.pop("loss")) / count, **task.scores(totals, count, dataset)}

    def _choose_evaluation_size(self) -> int:
        """The number of inputs per evaluation batch: fewer for large inputs, whose feature maps need memory."""
        return max(1, self.share.workers, min(256, MAX_BATCH_VALUES // math.prod(self._test.inputs.shape[1:])))

    def state(self) -> bytes:
        """Everything that the next step depends on, between epochs or at a pause within one.

        Random numbers are derived from seeds, except those that the network itself draws.
        """
        buffer = io.BytesIO()
        torch.save(
            {
                "epoch": self.epoch,
                "step": self.step,
                "seconds": self.seconds,
                "first_loss": self._first_loss,
                "curves": [tuple(value) for value in self.curves],
                "loss": self._loss,
                "random": self._random,
                "stopped": self._stopped,
                **self.work.state(),
            },
            buffer,
        )
        return buffer.getvalue()

    def load(self, state: bytes) -> None:
        """Restores a `state`: on CPU, the following epochs are bit-identical to those of an uninterrupted run."""
        saved: dict[str, Any] = torch.load(io.BytesIO(state), map_location=self.device, weights_only=True)
        self.work.load(saved)
        self.epoch, self.step, self.seconds = saved["epoch"], saved["step"], saved["seconds"]
        self._first_loss, self._loss, self._random = saved["first_loss"], saved["loss"], saved["random"]
        self._stopped = saved.get("stopped", False)
        self.curves = [CurveValue(*value) for value in saved["curves"]]
