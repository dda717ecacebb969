"""One optimiser step: forward, backward and update, in micro-batches if that saves memory."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from equistudy.augmentations.learned.network import AugmentedNetwork
from equistudy.recipe import Precision
from equistudy.study.trial import Trial
from equistudy.tasks.penalised import Penalised
from equistudy.training.batch_norm import convert_to_global_batch_norm
from equistudy.training.batches import Batch
from equistudy.training.extents import ExtentTrajectory
from equistudy.training.penalties import Penalties
from equistudy.training.sources import Share

__all__ = ["NotCompiledWarning", "TrainingStep", "enforce_determinism"]


class NotCompiledWarning(UserWarning):
    """`torch.compile` was requested but failed, so the network trains uncompiled."""


class TrainingStep:
    """A network in training with its optimiser, and the step that updates both.

    `micro_batch` limits the number of inputs per forward pass. `average` is the moving average of the weights, if the
    recipe requests one.
    """

    def __init__(self, trial: Trial, network: nn.Module, share: Share, micro_batch: int | None) -> None:
        self.trial, self.share, self.micro_batch = trial, share, micro_batch
        self.device = next(network.parameters()).device
        self.network = convert_to_global_batch_norm(network, self.device) if share.workers > 1 else network
        self.average = None if trial.recipe.average is None else deepcopy(self.network).requires_grad_(False)
        self.steps = 0
        self.learned = self.network if isinstance(self.network, AugmentedNetwork) else None
        self.watched = None if self.learned is None else ExtentTrajectory(self.learned)
        inner = self.network if self.learned is None else self.learned.network
        self.optimiser = trial.recipe.optimiser.build(inner.parameters())
        if self.learned is not None:
            self.optimiser.add_param_group(self.learned.parameter_group())
        self._peaks = [group["lr"] * trial.recipe.rate_factor for group in self.optimiser.param_groups]
        self._penalties = Penalties(trial, self.network) if isinstance(trial.task, Penalised) else None
        if self._penalties is not None and (self.learned is not None or trial.recipe.compiled):
            raise ValueError(
                f"Penalties need an uncompiled network without a learned augmentation, got {trial.task} with "
                f"{trial.augmentation} and compiled={trial.recipe.compiled}. Use another augmentation and "
                "compiled=False."
            )
        self.parallel: nn.Module = self.network
        if share.workers > 1:
            self.parallel = nn.parallel.DistributedDataParallel(self.network)
        self._compiled = torch.compile(self.parallel) if trial.recipe.compiled else None

    @property
    def compiled(self) -> bool:
        """Whether the network in training is compiled."""
        return self._compiled is not None

    def run(self, batch: Batch, factor: float) -> Float[Tensor, ""]:
        """Takes one step at this factor of the learning rate; returns the summed loss of this process's share."""
        for group, peak in zip(self.optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self.optimiser.zero_grad(set_to_none=True)
        parts = batch.split(self._count_parts(batch.total))
        total = torch.zeros((), device=self.device)
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            # Workers average their gradients, which gives the gradient of the mean over the whole batch.
            with nullcontext() if last or self.share.workers == 1 else self.parallel.no_sync():  # type: ignore[operator]
                loss = self._compute_loss(part)
                mean = loss * (self.share.workers / batch.total)
                (mean + self.learned.penalty() if self.learned is not None and last else mean).backward()
            total = total + loss.detach()
        if self.watched is not None:
            self.watched.record()
            self._adapt(total / batch.total)
        if self.trial.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.trial.recipe.clip_norm)
        self.optimiser.step()
        self.steps += 1
        self._update_average()
        return total

    def _adapt(self, loss: Float[Tensor, ""]) -> None:
        """Passes the mean loss over all workers to an adaptive regulariser, so that they agree on its weight."""
        if self.learned is not None and self.learned.settings.regulariser.adaptive:
            if self.share.workers > 1:
                dist.all_reduce(loss)
            self.learned.adapt(loss)

    def _count_parts(self, total: int) -> int:
        """The number of micro-batches, equal on all workers, because they synchronise in each one."""
        if self.micro_batch is None:
            return 1
        smallest, largest = total // self.share.workers, -(-total // self.share.workers)
        return min(-(-largest // self.micro_batch), smallest)

    def _compute_loss(self, part: Batch) -> Float[Tensor, ""]:
        """The summed loss of a micro-batch, including the penalty of these inputs times their number."""
        recipe, task, penalties = self.trial.recipe, self.trial.task, self._penalties
        inputs = part.inputs if penalties is None else penalties.build_views(part.inputs, self.steps)
        with (
            torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision is Precision.BFLOAT16),
            nullcontext() if penalties is None else penalties.record_stages(),
        ):
            outputs = self._compute_outputs(part._replace(inputs=inputs)).float()
        if penalties is not None:
            penalty = penalties.compute_penalty(outputs, len(part.targets)) * len(part.targets)
            outputs = outputs[: len(part.targets)]
        copies = len(outputs) // len(part.targets)
        targets = torch.cat([task.prepare_targets(part.targets, self.trial.dataset)] * copies)
        loss = task.loss(outputs, targets, recipe.label_smoothing) / copies
        return loss if penalties is None else loss + penalty

    def _compute_outputs(self, part: Batch) -> Float[Tensor, "N ..."]:
        """One row per input, or per copy of each input with a learned augmentation, copy by copy."""
        given: tuple[Any, ...] = (part.inputs,) if self.learned is None else (part.inputs, part.elements)
        outputs: Tensor
        if self._compiled is not None:
            try:
                outputs = self._compiled(*given)
            except torch._dynamo.exc.TorchDynamoException as error:
                self._compiled = None
                reason = str(error).strip().splitlines()[0]
                warnings.warn(f"torch.compile failed; training continues without it: {reason}", NotCompiledWarning, 2)
            else:
                return outputs
        outputs = self.parallel(*given)
        return outputs

    @torch.no_grad()
    def _update_average(self) -> None:
        """Updates the moving average of weights and running statistics; counters are copied."""
        if self.average is None or self.trial.recipe.average is None:
            return
        decay = min(self.trial.recipe.average, (1 + self.steps) / (10 + self.steps))
        for average, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            _move_towards(average, value, 1 - decay)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps": self.steps,
            "average": None if self.average is None else self.average.state_dict(),
            "watched": None if self.watched is None else self.watched.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restores a state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps = state["steps"]
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.watched is not None:
            self.watched.load(state["watched"])


def _move_towards(average: Shaped[Tensor, "..."], value: Shaped[Tensor, "..."], share: float) -> None:
    if average.is_floating_point():
        average.lerp_(value, share)
    else:
        average.copy_(value)


@contextmanager
def enforce_determinism(asked: bool) -> Iterator[None]:
    """Restricts torch to bitwise deterministic algorithms, if requested."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if asked:
        if torch.cuda.is_available():
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
