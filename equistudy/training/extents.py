"""What the curves say of a learned augmentation: its half-extents epoch by epoch, and where they end."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.augmentations.learned.network import AugmentedNetwork
from equistudy.augmentations.learned.oracle import expected_extent
from equistudy.study.trial import Trial
from equistudy.training.failures import NotANumberError

__all__ = ["epoch_extents", "final_extents"]

TAIL = 0.2  # the share of the epochs that a final value is the mean of: single steps wander


def epoch_extents(network: AugmentedNetwork, steps: Sequence[Float[Tensor, " P"]]) -> dict[str, float]:
    """`NAME_extent` of each learned generator: its half-extent in its unit, the mean over the steps of an epoch."""
    means = torch.stack([*steps]).double().mean(0).tolist()
    generators = network.augmentation.generators
    values = {f"{g.name}_extent": mean for g, mean in zip(generators, means, strict=True) if g.learned}
    for name, value in values.items():
        if not math.isfinite(value):
            raise NotANumberError(
                f"The {name.replace('_', ' ')} has become {value}. Lower the learned augmentation's "
                "learning_rate, or give its generators a cap."
            )
    return values


def final_extents(trial: Trial, trajectories: dict[str, Sequence[float]]) -> dict[str, float]:
    """`NAME_tail`: the mean over the last fifth of the epochs; beside it, where the oracle knows what to expect, that.

    `NAME_oracle` is the expected half-extent and `NAME_excess` how much the tail is above it.
    """
    values: dict[str, float] = {}
    for name, trajectory in trajectories.items():
        last = trajectory[-math.ceil(TAIL * len(trajectory)) :]
        values[f"{name}_tail"] = sum(last) / len(last)
    expected = expected_extent(trial.augmentation, trial.dataset)
    if expected is not None:
        ((name, tail),) = values.items()
        stem = name.removesuffix("_tail")
        values |= {f"{stem}_oracle": expected, f"{stem}_excess": tail - expected}
    return values
