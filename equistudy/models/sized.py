"""The cost of networks in closed form, the width at which one network matches another, and grids of patches."""

import dataclasses
import math
from dataclasses import dataclass
from enum import Enum
from math import gcd
from typing import Any, ClassVar, NamedTuple, TypeVar

from equistudy.models.model import Model

__all__ = [
    "Budget",
    "Cost",
    "MatchedModel",
    "SizedModel",
    "check_counts",
    "compute_cost",
    "compute_patch_grid",
    "dense_cost",
    "depthwise_cost",
    "list_block_stages",
    "norm_cost",
]

Self = TypeVar("Self", bound="SizedModel")


class Budget(Enum):
    """The quantity in which two networks are matched."""

    PARAMETERS = "parameters"
    FLOPS = "flops"


@dataclass(frozen=True)
class Cost:
    """The parameters of a network, and the FLOPs of its forward pass for one image.

    FLOPs are those of convolutions and matrix products, two per multiply-add, including padded positions, as counted by
    `torch.utils.flop_counter`.
    """

    parameters: int = 0
    flops: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.flops + other.flops)

    def __mul__(self, times: int) -> "Cost":
        return Cost(self.parameters * times, self.flops * times)

    def amount_of(self, budget: Budget) -> int:
        """The quantity that a budget refers to."""
        return self.parameters if budget is Budget.PARAMETERS else self.flops


def dense_cost(inputs: int, outputs: int, positions: int = 1, *, bias: bool = True) -> Cost:
    """The cost of a linear map at each position. A k x k convolution has k k channels inputs."""
    return Cost((inputs + bias) * outputs, 2 * inputs * outputs * positions)


def depthwise_cost(kernel: int, channels: int, positions: int) -> Cost:
    """The cost of a depthwise `kernel` x `kernel` convolution with bias."""
    return Cost((kernel**2 + 1) * channels, 2 * kernel**2 * channels * positions)


def norm_cost(channels: int) -> Cost:
    """The cost of a normalisation layer: scale and shift of each channel."""
    return Cost(2 * channels)


def check_counts(model: Model, *names: str) -> None:
    """Raises ValueError unless each of these fields is at least 1."""
    for name in names:
        if getattr(model, name) < 1:
            raise ValueError(f"{type(model).__name__} {name} must be at least 1, got {name}={getattr(model, name)}.")


class MatchedModel(NamedTuple):
    """The model of the nearest width, and its relative excess cost: 0.01 is one per cent more."""

    model: Any
    mismatch: float


@dataclass(frozen=True)
class SizedModel(Model):
    """Base of the models with a field `width` and a closed-form cost, which can be matched without torch."""

    WIDEST: ClassVar[int] = 2**16

    def cost(self, image_shape: tuple[int, int, int], num_outputs: int) -> Cost:
        """The cost of the network for images of this shape. Raises ValueError if there is no such network."""
        raise NotImplementedError

    @property
    def width_step(self) -> int:
        """The number of which the width must be a multiple."""
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
        """This model at the width whose cost is nearest to the other's, as a ratio; all other fields stay.

        A study file may call this at import, because it is pure arithmetic. Only if `other` has no closed-form cost is
        its network built and counted, which imports torch. Raises ValueError if the nearest cost is off by more than
        `tolerance`.
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
                f"The matched cost must agree within {tolerance:.0%}, got {at(steps)} of {wanted} "
                f"{budget.value} for {found}, the nearest to {other}. Change its depth, or the tolerance."
            )
        return MatchedModel(found, mismatch)

    def _with_width(self: Self, width: int) -> Self:
        return dataclasses.replace(self, width=width)  # type: ignore[call-arg]


def compute_cost(model: Model, image_shape: tuple[Any, ...], num_outputs: int) -> Cost:
    """The cost of a model's network: in closed form if it has one, otherwise by building it and counting one pass.

    The shape is as for `Model.build`: that of an image, or of a set of points.
    """
    if isinstance(model, SizedModel):
        return model.cost(image_shape, num_outputs)
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.random.fork_rng(devices=[]):
        network = model.build(image_shape, num_outputs).eval()
    # torch 2.13 does not count fused attention on CPU, but does count it as two matrix products.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(torch.zeros(1, *image_shape))
    return Cost(sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops())


def compute_patch_grid(model: Model, patch: int, image_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Rows and columns of patches of `patch` x `patch` pixels. Raises ValueError if they do not tile the image."""
    _, height, width = image_shape
    if height % patch or width % patch:
        common = gcd(height, width)
        divisors = ", ".join(str(size) for size in range(1, common + 1) if common % size == 0)
        raise ValueError(
            f"{type(model).__name__} needs a patch size that divides the image size, got patch={patch} for images of "
            f"{height} x {width} pixels. Use one of {divisors}."
        )
    return height // patch, width // patch


def list_block_stages(stem: str, depth: int, pooled: str) -> dict[str, str]:
    """The stages of a network of `depth` equal blocks, with timm's module names."""
    blocks = {f"block{index + 1}": f"blocks.{index}" for index in range(depth)}
    return {"stem": stem, **blocks, "pooled": pooled, "logits": "head"}
