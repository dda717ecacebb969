"""How a network is optimised: optimiser, schedule, epochs, batch size, precision."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from equistudy.spec import Spec, added_field

__all__ = [
    "SGD",
    "AdamW",
    "Constant",
    "Cosine",
    "OneCycle",
    "Optimiser",
    "Precision",
    "RateScaling",
    "Recipe",
    "Schedule",
]


class Precision(Enum):
    """The number format of the forward pass; parameters and optimiser state stay in float32.

    Float32 is the full one: products of TensorFloat32 are no part of it, whatever torch is set to.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class RateScaling(Enum):
    """How the learning rate follows the size of the batch.

    NONE: not at all. LINEAR: as the batch (Goyal et al. 2017, arXiv:1706.02677, for SGD). SQUARE_ROOT: as its root, so
    that the noise of a step keeps its size (Krizhevsky 2014, arXiv:1404.5997; Malladi et al. 2022, arXiv:2205.10287,
    for Adam).
    """

    NONE = "none"
    LINEAR = "linear"
    SQUARE_ROOT = "square root"


@dataclass(frozen=True)
class Optimiser(Spec):
    """Base of the optimisers. `weight_decay` acts on weights of two or more dimensions, not on biases and norms."""

    learning_rate: float = 0.1
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise ValueError(
                f"learning_rate must be positive and finite, got learning_rate={self.learning_rate}. Use 0.1 for SGD."
            )
        if self.weight_decay < 0:
            raise ValueError(
                f"weight_decay must not be negative, got weight_decay={self.weight_decay}. Use 0 for none."
            )

    def build(self, parameters: Iterable[Any]) -> Any:
        """A `torch.optim.Optimizer` over the parameters, fused: one call for all of them, not several for each."""
        raise NotImplementedError

    def build_parameter_groups(self, parameters: Iterable[Any]) -> list[dict[str, Any]]:
        """Two parameter groups: decayed (two or more dimensions) and not decayed."""
        every = [parameter for parameter in parameters if parameter.requires_grad]
        return [
            {"params": [p for p in every if p.ndim >= 2], "weight_decay": self.weight_decay},
            {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},
        ]


@dataclass(frozen=True)
class SGD(Optimiser):
    """Stochastic gradient descent with momentum (`torch.optim.SGD`)."""

    momentum: float = 0.9
    nesterov: bool = True

    def build(self, parameters: Iterable[Any]) -> Any:
        """A `torch.optim.SGD` over the parameters."""
        import torch

        nesterov = self.nesterov and self.momentum > 0
        groups = self.build_parameter_groups(parameters)
        return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.momentum, nesterov=nesterov, fused=True)


@dataclass(frozen=True)
class AdamW(Optimiser):
    """Adam with decoupled weight decay (`torch.optim.AdamW`)."""

    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, parameters: Iterable[Any]) -> Any:
        """A `torch.optim.AdamW` over the parameters."""
        import torch

        return torch.optim.AdamW(
            self.build_parameter_groups(parameters), lr=self.learning_rate, betas=self.betas, fused=True
        )


@dataclass(frozen=True)
class Schedule(Spec):
    """Base of the schedules: the factor on the learning rate as a function of the progress."""

    def factor(self, progress: float) -> float:
        """The factor on the learning rate at `progress` in [0, 1): steps done over all steps."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """The learning rate never changes."""

    def factor(self, progress: float) -> float:
        """Always 1."""
        return 1.0


@dataclass(frozen=True)
class Cosine(Schedule):
    """Linear warm-up over a share of the training, then half a cosine down to zero (Loshchilov and Hutter 2017)."""

    warmup: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < 1:
            raise ValueError(
                f"warmup is a share of the training in [0, 1), got warmup={self.warmup}. Use 0.1, or 0 for none."
            )

    def factor(self, progress: float) -> float:
        """Rises from 0 to 1 until `warmup`, then falls as (1 + cos) / 2."""
        if progress < self.warmup:
            return max(progress / self.warmup, 1e-3)
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Linear rise to the peak, then linear fall to zero (Smith and Topin 2018, one-cycle without momentum cycling)."""

    peak: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.peak < 1:
            raise ValueError(f"peak is a share of the training in (0, 1), got peak={self.peak}. Use 0.25.")

    def factor(self, progress: float) -> float:
        """A triangle: 0.04 at the start, 1 at `peak`, 0 at the end."""
        if progress < self.peak:
            return 0.04 + 0.96 * progress / self.peak
        return (1 - progress) / (1 - self.peak)


@dataclass(frozen=True)
class Recipe(Spec):
    """Everything about the optimisation of one network.

    With `epochs=0` nothing is optimised: the network is measured as its model builds it, with its pretrained weights or
    its random ones, and not stored, for the model builds it again.

    `batch_size` is the global batch: more workers share it, they do not enlarge it. `clip_norm` bounds the norm of the
    whole gradient. `label_smoothing` is for classification.

    `micro_batch` is the most that a worker passes through the network at once: gradients of its share are summed over
    such parts, and the step is that of the whole batch. Batch norms then see the parts alone. With `scaling` the
    optimiser's learning rate is that of batches of `base_batch`. `average` is the decay of an exponential moving
    average of the weights, at most (1 + steps) / (10 + steps), which is what is evaluated, measured and kept.
    `compiled` asks `torch.compile` for the training step; where it fails, the network runs as it is, with a warning.
    `deterministic` forbids algorithms of the accelerator that give other bits each time; on CPU there are none.
    With `stop_loss` training ends with the first epoch whose mean training loss is at most that, and after `epochs` at
    the latest: networks of any capacity can be compared where they fit their data alike. The schedule still counts all
    epochs: use one that is constant.
    """

    epochs: int = 30
    batch_size: int = 128
    optimiser: Optimiser = SGD()
    schedule: Schedule = OneCycle()
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    precision: Precision = Precision.FLOAT32
    micro_batch: int | None = added_field(None)
    scaling: RateScaling = added_field(RateScaling.NONE)  # noqa: RUF009 -- a field
    base_batch: int = added_field(256)
    average: float | None = added_field(None)
    compiled: bool = added_field(False)
    deterministic: bool = added_field(False)
    stop_loss: float | None = added_field(None)

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(
                f"epochs must not be negative, got epochs={self.epochs}. Use 0 for no training, or a number such as 30."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got batch_size={self.batch_size}. Use 128.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must lie in [0, 1), got label_smoothing={self.label_smoothing}. Use 0.1."
            )
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError(f"clip_norm must be positive or None, got clip_norm={self.clip_norm}. Use 1.0.")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise ValueError(f"micro_batch must be at least 1 or None, got micro_batch={self.micro_batch}. Use 32.")
        if self.base_batch < 1:
            raise ValueError(f"base_batch must be at least 1, got base_batch={self.base_batch}. Use 256.")
        if self.stop_loss is not None and not 0 < self.stop_loss < math.inf:
            raise ValueError(f"stop_loss is a positive loss or None, got stop_loss={self.stop_loss}. Use 0.01.")
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"average is a decay in (0, 1) or None, got average={self.average}. The usual is 0.999.")

    @property
    def rate_factor(self) -> float:
        """What `scaling` multiplies the optimiser's learning rate by."""
        ratio = self.batch_size / self.base_batch
        return {RateScaling.NONE: 1.0, RateScaling.LINEAR: ratio, RateScaling.SQUARE_ROOT: math.sqrt(ratio)}[
            self.scaling
        ]
