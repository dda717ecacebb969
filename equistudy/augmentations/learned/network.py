"""A network that sees transformed copies of its inputs and learns how far they are transformed."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from math import log
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.augmentations.learned.box import Box, latin_hypercube
from equistudy.augmentations.learned.generators import LieGenerator
from equistudy.augmentations.learned.motion import Motion
from equistudy.augmentations.learned.regulariser import Regulariser
from equistudy.datasets.dataset import Target
from equistudy.groups.exponential import disable_autocast
from equistudy.networks.choices import Aggregate

__all__ = ["AugmentedNetwork", "BoxedNetwork", "LearnedSettings"]

MAX_BATCH_VALUES = 2**22  # numbers in the copies of a batch that are evaluated at once


class LearnedSettings(NamedTuple):
    """The distribution of transformations, how it is learned, and the numbers of copies.

    The first `skipped` values of each element belong to the augmentation that acts before.
    """

    generators: tuple[LieGenerator, ...]
    regulariser: Regulariser
    learning_rate: float
    train_copies: int
    test_copies: int
    aggregate: Aggregate
    skipped: int = 0


class BoxedNetwork(nn.Module):
    """Base: a network, the box of transformations, and how these act on its inputs and outputs."""

    weight: Tensor
    test_units: Tensor

    def __init__(self, network: nn.Module, settings: LearnedSettings, target: Target, motion: Motion) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.target = target
        self.box = Box(settings.generators)
        self.motion = motion
        self.register_buffer("weight", torch.tensor(float(settings.regulariser.weight)))
        self.register_buffer("test_units", self._build_test_units(), persistent=False)

    def _build_test_units(self) -> Float[Tensor, "N U"]:
        return latin_hypercube(self.settings.test_copies, self.box.num_units)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fills in lambda and the test copies, as is needed after `to_empty`; the box has its own reset."""
        self.weight.fill_(self.settings.regulariser.weight)
        self.test_units.copy_(self._build_test_units())

    @property
    def extents(self) -> Float[Tensor, " P"]:
        """The half-extents in the generators' units, detached."""
        return self.box.extents

    def penalty(self) -> Float[Tensor, ""]:
        """What the regulariser adds to the mean loss."""
        return -self.weight * self.settings.regulariser.reward(self.box.widths)

    @torch.no_grad()
    def adapt(self, loss: Float[Tensor, ""]) -> None:
        """Lets an adaptive regulariser react to the mean loss of a batch."""
        self.weight.copy_(self.settings.regulariser.adapt_weight(self.weight, self.box.widths, loss.to(self.weight)))

    def parameter_group(self) -> dict[str, Any]:
        """A parameter group with the half-extents, their own learning rate, and no weight decay."""
        return {"params": [self.box.raw], "lr": self.settings.learning_rate, "weight_decay": 0.0}

    def _average_test_copies(self, inputs: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """The aggregate over the test copies, computed in chunks."""
        at_once = max(1, MAX_BATCH_VALUES // max(1, inputs.numel()))
        parts = [
            self._compute_outputs(inputs, copies.repeat_interleave(len(inputs), dim=0))
            for copies in self.test_units.split(at_once)
        ]
        return self._aggregate(torch.cat(parts), len(self.test_units))

    def _compute_outputs(self, inputs: Float[Tensor, "B ..."], units: Float[Tensor, "N U"]) -> Float[Tensor, "N ..."]:
        """Outputs, moved back, for one transformed copy of the inputs for each set of rows of units in [-1, 1]."""
        copies = inputs.repeat(len(units) // max(1, len(inputs)), *[1] * (inputs.ndim - 1))
        with disable_autocast(inputs.device):
            moved = self.motion.move_inputs(copies, units, self.box).to(inputs.dtype)
        if inputs.ndim == 4 and not inputs.is_contiguous():
            moved = moved.contiguous(memory_format=torch.channels_last)
        outputs: Tensor = self.network(moved)
        self._check_outputs(outputs, moved)
        with disable_autocast(inputs.device):
            return self.motion.move_outputs_back(outputs, units, self.box)

    def _check_outputs(self, outputs: Any, moved: Float[Tensor, "N ..."]) -> None:
        """TypeError or ValueError for outputs that are not one row for each input, or that cannot be moved back."""
        if not isinstance(outputs, Tensor):
            raise TypeError(
                f"A learned augmentation averages one tensor of outputs, got {type(outputs).__name__} from "
                f"{type(self.network).__name__}. Wrap the network in a module that returns the tensor to average."
            )
        if not outputs.ndim or len(outputs) != len(moved):
            raise ValueError(
                f"The network must give one row of outputs for each input, got outputs of shape "
                f"{list(outputs.shape)} for {len(moved)} inputs. Keep the batch as the first axis."
            )
        if self.target is Target.LABELS and outputs.shape[2:] != moved.shape[2:]:
            raise ValueError(
                f"Outputs are moved back pixel by pixel, got outputs of {list(outputs.shape[2:])} for images of "
                f"{list(moved.shape[2:])}. Use a network that gives a map of the image's size, such as UNet."
            )

    def _aggregate(self, outputs: Float[Tensor, "N ..."], copies: int) -> Float[Tensor, "B ..."]:
        """The mean over the copies: plain for numbers and trajectories, as `aggregate` says for classes."""
        aggregate = self.settings.aggregate
        stacked = outputs.unflatten(0, (copies, len(outputs) // copies))
        if aggregate is Aggregate.LOGIT or self.target not in (Target.CLASS, Target.LABELS):
            return stacked.mean(0)
        if outputs.ndim < 2 or outputs.shape[1] < 2:
            raise ValueError(
                f"Probabilities need at least two outputs, got {1 if outputs.ndim < 2 else outputs.shape[1]} with "
                f"aggregate={aggregate.value!r}. Use Aggregate.LOGIT for outputs that are not classes."
            )
        logs = stacked.log_softmax(2, dtype=torch.promote_types(stacked.dtype, torch.float32))
        if aggregate is Aggregate.LOG_PROBABILITY:
            return logs.mean(0).log_softmax(1)
        return logs.logsumexp(0) - log(copies)


class AugmentedNetwork(BoxedNetwork):
    """f(x) = E_g network(g x), with the half-extents of the distribution of g as a parameter.

    For targets that move with the input, such as labels for pixels and trajectories, f(x) = E_g g^-1 network(g x).

    In training it returns one row of outputs for each copy and input, copy by copy, over which the loss is averaged. In
    evaluation it returns one row for each input, the aggregate over the test copies.

    In evaluation, forward hooks on modules inside `network` see the untransformed images, because the copies serve the
    output alone. Stages of the inner network are therefore measured like those of any other network.
    """

    def forward(
        self, inputs: Float[Tensor, "B ..."], elements: Float[Tensor, "B P"] | None = None
    ) -> Float[Tensor, "N ..."]:
        """In training, outputs for the inputs transformed by `elements`; in evaluation, the aggregate."""
        if self.training:
            assert elements is not None
            self.box.project()
            own = elements[:, self.settings.skipped :]
            units = own.unflatten(1, (self.settings.train_copies, -1)).transpose(0, 1).flatten(0, 1)
            return self._compute_outputs(inputs, units)
        if _has_forward_hooks(self.network):
            self.network(inputs)
        with _without_forward_hooks(self.network):
            return self._average_test_copies(inputs)


def _has_forward_hooks(network: nn.Module) -> bool:
    return any(module._forward_hooks for module in network.modules())


@contextmanager
def _without_forward_hooks(network: nn.Module) -> Iterator[None]:
    """Removes forward hooks from the network for the duration of the block."""
    hooks = [(module, module._forward_hooks) for module in network.modules() if module._forward_hooks]
    for module, _ in hooks:
        module._forward_hooks = OrderedDict()
    try:
        yield
    finally:
        for module, kept in hooks:
            module._forward_hooks = kept
