"""Trains one network, epoch by epoch; its state between epochs is a string of bytes."""

import io
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from equistudy.augmentations.learned.network import AugmentedNetwork
from equistudy.datasets.dataset import Split
from equistudy.datasets.resident import resident
from equistudy.recipe import Precision
from equistudy.study.trial import Stream, Trial, derived_seed
from equistudy.training.batch_norm import with_global_batch_norm
from equistudy.training.batches import ALONE, Batch, Share, evaluation_batches, num_batches, training_batches
from equistudy.training.extents import Trajectory, final_extents
from equistudy.training.failures import DivergedError, NotANumberError

__all__ = ["CurveValue", "Trainer", "build_network"]

EVALUATIONS = 10  # how many times, at most, the test split is looked at during training
LARGEST_BATCH = 2**22  # numbers in a batch of inputs that is evaluated
DIVERGED = 100.0  # how many times its first value a finite loss may reach


class CurveValue(NamedTuple):
    """One value of a learning curve, after `epoch` epochs."""

    epoch: int
    split: str
    name: str
    value: float


def build_network(trial: Trial, device: torch.device) -> nn.Module:
    """The trial's network before its first step, initialised from the replicate's own seed; no global state changes."""
    outputs = trial.task.num_outputs(trial.dataset)
    shape = trial.model.preprocessing(trial.dataset).input_shape(trial.dataset.input_shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(trial.seed, Stream.INITIALISATION))
        network = trial.model.build(shape, outputs)
    network = trial.augmentation.wrapped(network, trial.dataset)
    # channels last: 15 to 30 % faster on CPU (ResNet-8, widths 4 to 32, one thread), and what tensor cores want
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


class Trainer:
    """One trial in training.

    With several workers `torch.distributed` must be initialised; each process then works on its share of every batch
    and all hold the same network. One worker and several give the same losses up to rounding: gradients are means over
    the whole batch, and so are batch-norm statistics.
    """

    def __init__(self, trial: Trial, device: torch.device, share: Share = ALONE) -> None:
        self.trial, self.device, self.share = trial, device, share
        self.epoch = 0
        self.seconds = 0.0
        self.curves: list[CurveValue] = []
        self._first_loss: float | None = None
        self._train = resident(trial.dataset, Split.TRAIN, device)
        self._test = resident(trial.dataset, Split.TEST, device)
        self.network = build_network(trial, device)
        self._parallel = self._distributed() if share.workers > 1 else self.network
        self._learned = self.network if isinstance(self.network, AugmentedNetwork) else None
        self._watched = None if self._learned is None else Trajectory(self._learned)
        inner = self.network if self._learned is None else self._learned.network
        self._optimiser = trial.recipe.optimiser.build(inner.parameters())
        if self._learned is not None:
            self._optimiser.add_param_group(self._learned.parameter_group())
        self._peaks = [group["lr"] for group in self._optimiser.param_groups]

    def _distributed(self) -> nn.Module:
        smallest = len(self._train.inputs) // num_batches(len(self._train.inputs), self.trial.recipe.batch_size)
        if smallest < self.share.workers:
            raise ValueError(
                f"Each worker needs at least one sample of every batch, got {self.share.workers} workers for batches "
                f"of {smallest}. Use fewer workers per trial or a larger batch_size."
            )
        self.network = with_global_batch_norm(self.network, self.device)
        return nn.parallel.DistributedDataParallel(self.network)

    @property
    def finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        return self.epoch >= self.trial.recipe.epochs

    @property
    def images_seen(self) -> int:
        """How many training images the network has seen, over all workers."""
        return self.epoch * len(self._train.inputs)

    def train_epoch(self) -> list[CurveValue]:
        """One epoch, then the curve values that it adds: the training loss, and at some epochs the test scores.

        Raises NotANumberError or DivergedError as soon as the epoch's mean loss shows it; the state is then of no use.
        """
        began = time.perf_counter()
        total = torch.zeros((), device=self.device, dtype=torch.float64)
        for step_loss in self.steps():
            total += step_loss
        loss = float(self._summed(total)) / len(self._train.inputs)
        self.epoch += 1
        self._check(loss)
        values = [CurveValue(self.epoch, Split.TRAIN.value, "loss", loss), *self._trajectory()]
        every = -(-self.trial.recipe.epochs // EVALUATIONS)
        if self.epoch % every == 0 or self.finished:
            scores = self.evaluate()
            values += [CurveValue(self.epoch, Split.TEST.value, name, value) for name, value in scores.items()]
        self.curves += values
        self.seconds += time.perf_counter() - began
        return values

    def _trajectory(self) -> list[CurveValue]:
        """What a learned augmentation adds to the curves of an epoch, from its half-extents at each step."""
        if self._watched is None:
            return []
        values = self._watched.epoch()
        if self.finished:
            before = {name: [value.value for value in self.curves if value.name == name] for name in values}
            values |= final_extents(self.trial, {name: [*before[name], value] for name, value in values.items()})
        return [CurveValue(self.epoch, Split.TRAIN.value, name, value) for name, value in values.items()]

    def steps(self) -> Iterator[Float[Tensor, ""]]:
        """The optimiser steps of the coming epoch, one by one; each gives the summed loss of this process's share."""
        trial, recipe = self.trial, self.trial.recipe
        steps = num_batches(len(self._train.inputs), recipe.batch_size)
        batches = training_batches(
            self._train, trial.dataset, trial.augmentation, recipe.batch_size, trial.seed, self.epoch, self.share
        )
        self._parallel.train()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            # dropout and the like draw from torch's global state: tied to replicate, epoch and rank
            torch.manual_seed(derived_seed(trial.seed, Stream.INITIALISATION, self.epoch) + self.share.rank)
            for step, batch in enumerate(batches, self.epoch * steps):
                yield self._step(batch, recipe.schedule.factor(step / (steps * recipe.epochs)))

    def _step(self, batch: Batch, factor: float) -> Float[Tensor, ""]:
        recipe = self.trial.recipe
        for group, peak in zip(self._optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision is Precision.BFLOAT16):
            outputs = self._outputs(batch)
        copies = len(outputs) // len(batch.targets)
        targets = torch.cat([self._targets(batch)] * copies)
        loss = self.trial.task.loss(outputs.float(), targets, recipe.label_smoothing) / copies
        self._optimiser.zero_grad(set_to_none=True)
        # workers average their gradients, so this is the gradient of the mean over the whole batch
        mean = loss * (self.share.workers / batch.total)
        (mean if self._learned is None else mean + self._learned.penalty()).backward()
        if self._learned is not None and self._watched is not None:
            self._watched.record()
            self._adapt(loss.detach() / batch.total)
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip_norm)
        self._optimiser.step()
        return loss.detach()

    def _targets(self, batch: Batch) -> Shaped[Tensor, "B ..."]:
        return self.trial.task.prepared(batch.targets, self.trial.dataset)

    def _adapt(self, loss: Float[Tensor, ""]) -> None:
        """Tells an adaptive regulariser the batch's mean loss, over all workers: they must agree on its weight."""
        if self._learned is not None and self._learned.augmentation.regulariser.adaptive:
            self._learned.adapt(self._summed(loss))

    def _outputs(self, batch: Batch) -> Float[Tensor, "N ..."]:
        """One row for each input, or for each copy of each input that a learned augmentation makes, copy by copy."""
        given = (batch.inputs,) if self._learned is None else (batch.inputs, batch.elements)
        outputs: Tensor = self._parallel(*given)
        return outputs

    def _summed(self, value: Tensor) -> Tensor:
        if self.share.workers > 1:
            dist.all_reduce(value)
        return value

    def _check(self, loss: float) -> None:
        if not torch.isfinite(torch.tensor(loss)):
            raise NotANumberError(
                f"The training loss is {loss} after epoch {self.epoch}. Lower the learning rate, clip the gradient "
                "(clip_norm) or use float32."
            )
        self._first_loss = loss if self._first_loss is None else self._first_loss
        if loss > DIVERGED * self._first_loss:
            raise DivergedError(
                f"The training loss grew from {self._first_loss:.3g} to {loss:.3g} by epoch {self.epoch}, more than "
                f"{DIVERGED:g} times. Lower the learning rate or clip the gradient (clip_norm)."
            )

    @torch.inference_mode()
    def evaluate(self) -> dict[str, float]:
        """Mean loss and scores on the test split, over all workers."""
        task, dataset, count = self.trial.task, self.trial.dataset, len(self._test.inputs)
        self.network.eval()
        sums: dict[str, Tensor] = {}
        for batch in evaluation_batches(self._test, dataset, self._evaluation_size(), self.share):
            outputs, targets = self.network(batch.inputs), self._targets(batch)
            for name, value in {"loss": task.loss(outputs, targets), **task.score(outputs, targets)}.items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device, dtype=torch.float64)) + value
        totals = {name: self._summed(value) for name, value in sums.items()}
        return {"loss": float(totals.pop("loss")) / count, **task.scores(totals, count, dataset)}

    def _evaluation_size(self) -> int:
        """How many inputs are evaluated at once: fewer of large ones, whose feature maps would fill the memory."""
        return max(1, self.share.workers, min(256, LARGEST_BATCH // math.prod(self._test.inputs.shape[1:])))

    def state(self) -> bytes:
        """Everything that the next epoch depends on; random numbers are derived and need no state."""
        buffer = io.BytesIO()
        torch.save(
            {
                "epoch": self.epoch,
                "seconds": self.seconds,
                "first_loss": self._first_loss,
                "curves": [tuple(value) for value in self.curves],
                "network": self.network.state_dict(),
                "optimiser": self._optimiser.state_dict(),
            },
            buffer,
        )
        return buffer.getvalue()

    def load(self, state: bytes) -> None:
        """Continues from `state` as if nothing had happened: on CPU the following epochs are equal bit for bit."""
        saved: dict[str, Any] = torch.load(io.BytesIO(state), map_location=self.device, weights_only=True)
        self.network.load_state_dict(saved["network"])
        self._optimiser.load_state_dict(saved["optimiser"])
        self.epoch, self.seconds, self._first_loss = saved["epoch"], saved["seconds"], saved["first_loss"]
        self.curves = [CurveValue(*value) for value in saved["curves"]]
