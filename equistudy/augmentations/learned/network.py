"""A network that sees moved copies of its images, and learns how far they are moved."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from equistudy.augmentations.learned.augmentation import Aggregate, LearnedAugmentation
from equistudy.augmentations.learned.box import Box
from equistudy.augmentations.learned.generators import Domain
from equistudy.datasets.dataset import Dataset
from equistudy.groups.affine import warp

__all__ = ["AugmentedNetwork", "lattice"]


class AugmentedNetwork(nn.Module):
    """f(x) = E_g network(g x), with the half-extents of the distribution of g as a parameter.

    In training one row of outputs for each copy and image, copy by copy, for the loss is averaged over them. In
    evaluation one row for each image: the aggregate over the lattice of test copies.

    A module inside `network` that is watched by a hook in evaluation sees the images as they are: the copies are for
    the output alone. So the stages of the inner network are measured as those of any other network.
    """

    weight: Tensor
    lattice: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, augmentation: LearnedAugmentation, dataset: Dataset) -> None:
        super().__init__()
        self.network = network
        self.augmentation = augmentation
        self.box = Box(augmentation.generators)
        self.register_buffer("weight", torch.tensor(float(augmentation.regulariser.weight)))
        constants = {
            "lattice": lattice(augmentation.test_copies, len(augmentation.generators)),
            # images come normalised
            "mean": torch.tensor(dataset.mean)[:, None, None],
            "std": torch.tensor(dataset.std)[:, None, None],
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def extents(self) -> Float[Tensor, " P"]:
        """The half-extents in the generators' units, detached."""
        return self.box.extents

    @property
    def black(self) -> Float[Tensor, "C 1 1"]:
        """What black, 0, has become in images that come normalised."""
        return -self.mean / self.std

    def penalty(self) -> Float[Tensor, ""]:
        """What the regulariser adds to the mean loss."""
        return -self.weight * self.augmentation.regulariser.reward(self.box.widths)

    @torch.no_grad()
    def adapt(self, loss: Float[Tensor, ""]) -> None:
        """Lets an adaptive regulariser answer to the mean loss of a batch."""
        self.weight.copy_(self.augmentation.regulariser.adapted(self.weight, self.box.widths, loss.to(self.weight)))

    def parameter_group(self) -> dict[str, Any]:
        """The half-extents for an optimiser: with their own learning rate, and without weight decay."""
        return {"params": [self.box.raw], "lr": self.augmentation.learning_rate, "weight_decay": 0.0}

    def forward(
        self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"] | None = None
    ) -> Float[Tensor, "... K"]:
        """Outputs for the images moved by `elements`, drawn for them, in training; the aggregate in evaluation."""
        if self.training:
            assert elements is not None
            self.box.project()
            own = elements[:, self.augmentation.before.num_parameters :]
            units = own.unflatten(1, (self.augmentation.train_copies, -1)).transpose(0, 1).flatten(0, 1)
            return self.network(self._moved(images, units))
        copies = self.lattice.repeat_interleave(len(images), dim=0)
        if _watched(self.network):
            self.network(images)
        with _unwatched(self.network):
            outputs: Tensor = self.network(self._moved(images, copies))
        return self._aggregated(outputs.unflatten(0, (len(self.lattice), len(images))))

    def _moved(self, images: Float[Tensor, "B C H W"], units: Float[Tensor, "N P"]) -> Float[Tensor, "N C H W"]:
        """The images as often as there are rows of units in [-1, 1] for them, each moved by its own."""
        with torch.autocast(images.device.type, enabled=False):
            images = images.repeat(len(units) // len(images), 1, 1, 1)
            if self.box.moves(Domain.COLOUR):
                images = self._coloured(images, self.box.maps(units, Domain.COLOUR))
            if self.box.moves(Domain.PLANE):
                # a warp asks where in the input each position of the output lies
                images = self._warped(images, self.box.maps(units, Domain.PLANE, inverse=True))
            return images

    def _coloured(self, images: Float[Tensor, "B C H W"], maps: Float[Tensor, "B 3 4"]) -> Float[Tensor, "B C H W"]:
        """Each image with its colours mapped, cut off at black and white."""
        colours = images * self.std + self.mean
        mapped = torch.einsum("bij,bjhw->bihw", maps[..., :3], colours) + maps[..., 3, None, None]
        return (mapped.clamp(0, 1) - self.mean) / self.std

    def _warped(self, images: Float[Tensor, "B C H W"], maps: Float[Tensor, "B 2 3"]) -> Float[Tensor, "B C H W"]:
        """Each image warped, continued by its mirror images as far as asked and by black beyond."""
        height, width = images.shape[-2:]
        margin, black = self.augmentation.reflected, self.black
        if margin:
            images = pad(images, (margin,) * 4, mode="reflect")
        return (warp(images - black, maps) + black)[..., margin : margin + height, margin : margin + width]

    def _aggregated(self, outputs: Float[Tensor, "N B K"]) -> Float[Tensor, "B K"]:
        aggregate = self.augmentation.aggregate
        if aggregate is Aggregate.LOGIT:
            return outputs.mean(0)
        if outputs.shape[-1] < 2:
            raise ValueError(
                f"Probabilities need at least two outputs, got {outputs.shape[-1]} with aggregate="
                f"{aggregate.value!r}. Use Aggregate.LOGIT for outputs that are no classes."
            )
        logs = outputs.log_softmax(-1)
        if aggregate is Aggregate.LOG_PROBABILITY:
            return logs.mean(0).log_softmax(-1)
        return logs.logsumexp(0) - torch.tensor(float(len(outputs))).log()


def lattice(num_points: int, dimensions: int) -> Float[Tensor, "N P"]:
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


def _watched(network: nn.Module) -> bool:
    return any(module._forward_hooks for module in network.modules())


@contextmanager
def _unwatched(network: nn.Module) -> Iterator[None]:
    """The network without the forward hooks that look into it."""
    hooks = [(module, module._forward_hooks) for module in network.modules() if module._forward_hooks]
    for module, _ in hooks:
        module._forward_hooks = OrderedDict()
    try:
        yield
    finally:
        for module, kept in hooks:
            module._forward_hooks = kept
