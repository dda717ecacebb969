"""A network that sees moved copies of its inputs, and learns how far they are moved."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.augmentations.learned.box import Box
from equistudy.augmentations.learned.generators import LieGenerator
from equistudy.augmentations.learned.motion import Motion
from equistudy.augmentations.learned.regulariser import Regulariser
from equistudy.datasets.dataset import Target
from equistudy.networks.choices import Aggregate

__all__ = ["AugmentedNetwork", "LearnedSettings", "rank_one_lattice"]

MAX_BATCH_VALUES = 2**22  # numbers in the copies of a batch that are evaluated at once


class LearnedSettings(NamedTuple):
    """The distribution, how it is learned, and how many copies of an input a network sees.

    `skipped` numbers of each drawn element belong to the augmentation that acts before.
    """

    generators: tuple[LieGenerator, ...]
    regulariser: Regulariser
    learning_rate: float
    train_copies: int
    test_copies: int
    aggregate: Aggregate
    skipped: int


class AugmentedNetwork(nn.Module):
    """f(x) = E_g network(g x), with the half-extents of the distribution of g as a parameter.

    Where what is asked for moves with the input, as labels and trajectories do, f(x) = E_g g^-1 network(g x).

    In training one row of outputs for each copy and input, copy by copy, for the loss is averaged over them. In
    evaluation one row for each input: the aggregate over the lattice of test copies.

    A module inside `network` that is watched by a hook in evaluation sees the images as they are: the copies are for
    the output alone. So the stages of the inner network are measured as those of any other network.
    """

    weight: Tensor
    lattice: Tensor

    def __init__(self, network: nn.Module, settings: LearnedSettings, target: Target, motion: Motion) -> None:
        super().__init__()
        self.network = network
        self.settings = settings
        self.target = target
        self.box = Box(settings.generators)
        self.motion = motion
        self.register_buffer("weight", torch.tensor(float(settings.regulariser.weight)))
        points = rank_one_lattice(settings.test_copies, len(settings.generators))
        self.register_buffer("lattice", points, persistent=False)

    @property
    def extents(self) -> Float[Tensor, " P"]:
        """The half-extents in the generators' units, detached."""
        return self.box.extents

    def penalty(self) -> Float[Tensor, ""]:
        """What the regulariser adds to the mean loss."""
        return -self.weight * self.settings.regulariser.reward(self.box.widths)

    @torch.no_grad()
    def adapt(self, loss: Float[Tensor, ""]) -> None:
        """Lets an adaptive regulariser answer to the mean loss of a batch."""
        self.weight.copy_(self.settings.regulariser.adapt_weight(self.weight, self.box.widths, loss.to(self.weight)))

    def parameter_group(self) -> dict[str, Any]:
        """The half-extents for an optimiser: with their own learning rate, and without weight decay."""
        return {"params": [self.box.raw], "lr": self.settings.learning_rate, "weight_decay": 0.0}

    def forward(
        self, inputs: Float[Tensor, "B ..."], elements: Float[Tensor, "B P"] | None = None
    ) -> Float[Tensor, "N ..."]:
        """Outputs for the inputs moved by `elements`, drawn for them, in training; the aggregate in evaluation."""
        if self.training:
            assert elements is not None
            self.box.project()
            own = elements[:, self.settings.skipped :]
            units = own.unflatten(1, (self.settings.train_copies, -1)).transpose(0, 1).flatten(0, 1)
            return self._compute_outputs(inputs, units)
        if _has_forward_hooks(self.network):
            self.network(inputs)
        at_once = max(1, MAX_BATCH_VALUES // inputs.numel())
        with _without_forward_hooks(self.network):
            parts = [
                self._compute_outputs(inputs, copies.repeat_interleave(len(inputs), dim=0))
                for copies in self.lattice.split(at_once)
            ]
        return self._aggregate(torch.cat(parts).unflatten(0, (len(self.lattice), len(inputs))))

    def _compute_outputs(self, inputs: Float[Tensor, "B ..."], units: Float[Tensor, "N P"]) -> Float[Tensor, "N ..."]:
        """Outputs for as many copies of the inputs as there are rows of units in [-1, 1] for them, moved back."""
        copies = inputs.repeat(len(units) // len(inputs), *[1] * (inputs.ndim - 1))
        with torch.autocast(inputs.device.type, enabled=False):
            moved = self.motion.move_inputs(copies, units, self.box)
        outputs: Tensor = self.network(moved)
        self._check_outputs(outputs, moved)
        with torch.autocast(inputs.device.type, enabled=False):
            return self.motion.move_outputs_back(outputs, units, self.box)

    def _check_outputs(self, outputs: Float[Tensor, "N ..."], moved: Float[Tensor, "N ..."]) -> None:
        """ValueError for outputs that cannot be moved back."""
        if self.target is Target.LABELS and outputs.shape[2:] != moved.shape[2:]:
            raise ValueError(
                f"Outputs are moved back pixel by pixel, got outputs of {list(outputs.shape[2:])} for images of "
                f"{list(moved.shape[2:])}. Use a network that gives a map of the image's size, such as UNet."
            )

    def _aggregate(self, outputs: Float[Tensor, "N B ..."]) -> Float[Tensor, "B ..."]:
        """The mean over the copies: of numbers and trajectories always as they are, of classes as asked for."""
        aggregate = self.settings.aggregate
        if aggregate is Aggregate.LOGIT or self.target not in (Target.CLASS, Target.LABELS):
            return outputs.mean(0)
        if outputs.shape[2] < 2:
            raise ValueError(
                f"Probabilities need at least two outputs, got {outputs.shape[2]} with aggregate="
                f"{aggregate.value!r}. Use Aggregate.LOGIT for outputs that are no classes."
            )
        logs = outputs.log_softmax(2)
        if aggregate is Aggregate.LOG_PROBABILITY:
            return logs.mean(0).log_softmax(1)
        return logs.logsumexp(0) - torch.tensor(float(len(outputs))).log()


def rank_one_lattice(num_points: int, dimensions: int) -> Float[Tensor, "N P"]:
    """Points of [-1, 1]^P that are symmetric about 0 and cover it evenly: a rank-one lattice.

    Point i of n lies at 2 frac(1/2 + (i - (n - 1) / 2) a) - 1, with a = 1 / n along the first axis, the midpoint rule,
    and powers of a generalised golden ratio along the others. One point is 0; an odd number of points contains it.

    Source of the other axes: Roberts 2018, "The unreasonable effectiveness of quasirandom sequences".
    """
    golden = 2.0
    for _ in range(64):  # the root of g^P = g + 1
        golden = (1 + golden) ** (1 / dimensions)
    powers = torch.arange(1, dimensions, dtype=torch.float64)
    steps = torch.cat([torch.tensor([1 / num_points], dtype=torch.float64), golden**-powers])
    ranks = torch.arange(num_points, dtype=torch.float64) - (num_points - 1) / 2
    return (2 * torch.frac(0.5 + ranks[:, None] * steps + num_points) - 1).float()


def _has_forward_hooks(network: nn.Module) -> bool:
    return any(module._forward_hooks for module in network.modules())


@contextmanager
def _without_forward_hooks(network: nn.Module) -> Iterator[None]:
    """The network without the forward hooks that look into it."""
    hooks = [(module, module._forward_hooks) for module in network.modules() if module._forward_hooks]
    for module, _ in hooks:
        module._forward_hooks = OrderedDict()
    try:
        yield
    finally:
        for module, kept in hooks:
            module._forward_hooks = kept
