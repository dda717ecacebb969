"""What a network costs in closed form, and the width at which it costs as much as another."""

import dataclasses
import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, NamedTuple, TypeVar

from equistudy.models.model import Model

__all__ = [
    "Budget",
    "Cost",
    "MatchedModel",
    "SizedModel",
    "check_counts",
    "compute_cost",
    "dense_cost",
    "depthwise_cost",
    "norm_cost",
]

Self = TypeVar("Self", bound="SizedModel")


class Budget(Enum):
    """What two networks have in common when they are matched."""

    PARAMETERS = "parameters"
    FLOPS = "flops"


@dataclass(frozen=True)
class Cost:
    """The trained numbers of a network, and the operations of its forward pass for one image.

    Operations are those of convolutions and matrix products, two for each multiplication with its addition; padded
    positions count. This is how `torch.utils.flop_counter` counts.
    """

    parameters: int = 0
    flops: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.flops + other.flops)

    def __mul__(self, times: int) -> "Cost":
        return Cost(self.parameters * times, self.flops * times)

    def amount_of(self, budget: Budget) -> int:
        """The one number that a budget looks at."""
        return self.parameters if budget is Budget.PARAMETERS else self.flops


def dense_cost(inputs: int, outputs: int, positions: int = 1, *, bias: bool = True) -> Cost:
    """A linear map at each of the positions. A k x k convolution has k k channels inputs."""
    return Cost((inputs + bias) * outputs, 2 * inputs * outputs * positions)


def depthwise_cost(kernel: int, channels: int, positions: int) -> Cost:
    """A kernel x kernel convolution of each channel by itself, with bias."""
    return Cost((kernel**2 + 1) * channels, 2 * kernel**2 * channels * positions)


def norm_cost(channels: int) -> Cost:
    """Gain and offset of each channel."""
    return Cost(2 * channels)


def check_counts(model: Model, *names: str) -> None:
    """ValueError unless each of these fields is at least 1."""
    for name in names:
        if getattr(model, name) < 1:
            raise ValueError(f"{type(model).__name__} {name} must be at least 1, got {name}={getattr(model, name)}.")


class MatchedModel(NamedTuple):
    """A model of the width that comes nearest, and by how much it costs more than asked for: 0.01 is one per cent."""

    model: Any
    mismatch: float


@dataclass(frozen=True)
class SizedModel(Model):
    """Base of the models with a field `width`, whose cost has a closed form: they are matched without torch."""

    WIDEST: ClassVar[int] = 2**16

    def cost(self, image_shape: tuple[int, int, int], num_outputs: int) -> Cost:
        """What the network for such images costs; ValueError where there is none."""
        raise NotImplementedError

    @property
    def width_step(self) -> int:
        """Possible widths are the multiples of this."""
        return 1

    def match_to(
        self: Self,
        other: Model,
        image_shape: tuple[int, int, int],
        num_outputs: int,
        *,
        budget: Budget = Budget.PARAMETERS,
        tolerance: float = 0.1,
    ) -> MatchedModel:
        """This model at the width at which its cost comes nearest to the other's, by ratio; all else stays.

        Everything is arithmetic, so a study may ask at its head, unless `other` has no closed form: then its network is
        built and counted, which imports torch. ValueError if the nearest is further off than `tolerance`.
        """
        wanted = compute_cost(other, image_shape, num_outputs).amount_of(budget)

        def at(steps: int) -> int:
            return self._with_width(steps * self.width_step).cost(image_shape, num_outputs).amount_of(budget)

        low, high = 1, self.WIDEST // self.width_step
        while high - low > 1:  # cost grows with width
            middle = (low + high) // 2
            low, high = (middle, high) if at(middle) <= wanted else (low, middle)
        steps = min((low, high), key=lambda steps: abs(math.log(at(steps) / wanted)))
        found, mismatch = self._with_width(steps * self.width_step), at(steps) / wanted - 1
        if abs(mismatch) > tolerance:
            raise ValueError(
                f"A matched network must cost what the other costs within {tolerance:.0%}, got {at(steps)} of {wanted} "
                f"{budget.value} for {found}, the nearest to {other}. Change its depth, or the tolerance."
            )
        return MatchedModel(found, mismatch)

    def _with_width(self: Self, width: int) -> Self:
        return dataclasses.replace(self, width=width)  # type: ignore[call-arg]


def compute_cost(model: Model, image_shape: tuple[Any, ...], num_outputs: int) -> Cost:
    """What a model's network costs: by its closed form if it has one, else by building it and counting one pass.

    The shape is that of `Model.build`: of an image, or of a set of points.
    """
    if isinstance(model, SizedModel):
        return model.cost(image_shape, num_outputs)
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.random.fork_rng(devices=[]):
        network = model.build(image_shape, num_outputs).eval()
    # torch 2.13 does not count fused attention on CPU; written out as two matrix products it does
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(torch.zeros(1, *image_shape))
    return Cost(sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops())
