"""What the curves say of a learned augmentation: its half-extents epoch by epoch, and where they end."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.augmentations.learned.network import AugmentedNetwork
from equistudy.study.trial import Trial
from equistudy.training.failures import NotANumberError

__all__ = ["ExtentTrajectory", "compute_final_extents"]

TAIL_SHARE = 0.2  # the share of the epochs that a final value is the mean of: single steps wander


class ExtentTrajectory:
    """What the steps of an epoch do to the half-extents of a learned augmentation."""

    def __init__(self, network: AugmentedNetwork) -> None:
        self._network = network
        self._steps: list[Float[Tensor, "3 P"]] = []
        self._weights: list[Float[Tensor, ""]] = []

    def record(self) -> None:
        """Notes where the half-extents are and what pulls at them: between the backward pass and the optimiser."""
        box, penalty = self._network.box, self._network.penalty()
        (paid,) = torch.autograd.grad(penalty, box.raw)
        with torch.enable_grad():
            (stretch,) = torch.autograd.grad((2 * box.rates * box.learned_extents).sum(), box.raw)
        assert box.raw.grad is not None
        slopes = torch.stack([box.raw.grad - paid, paid]) / stretch  # fixed ones have no stretch and are left out
        self._steps.append(torch.cat([box.extents[None], slopes]))
        self._weights.append(self._network.weight.clone())

    def state(self) -> dict[str, list[Tensor]]:
        """What was noted since the last call of `finish_epoch`."""
        return {"steps": self._steps, "weights": self._weights}

    def load(self, state: Mapping[str, list[Tensor]]) -> None:
        """Goes on from a state."""
        self._steps, self._weights = list(state["steps"]), list(state["weights"])

    def finish_epoch(self) -> dict[str, float]:
        """The means over the steps since the last call, for each learned generator.

        `NAME_extent` is the half-extent in its unit. `NAME_data_slope` and `NAME_regulariser_slope` are how much the
        two parts of the objective rise per unit of full width, of rotations per radian: they cancel where it rests.
        `regulariser_weight` is lambda, where it adapts.
        """
        means = torch.stack(self._steps).double().mean(0).tolist()
        values: dict[str, float] = {}
        for kind, row in zip(("extent", "data_slope", "regulariser_slope"), means, strict=True):
            generators = zip(self._network.settings.generators, row, strict=True)
            values |= {f"{generator.name}_{kind}": value for generator, value in generators if generator.learned}
        if self._network.settings.regulariser.adaptive:
            values["regulariser_weight"] = float(torch.stack(self._weights).double().mean())
        self._steps, self._weights = [], []
        for name, value in values.items():
            if not math.isfinite(value):
                raise NotANumberError(
                    f"The {name.replace('_', ' ')} has become {value}. Lower the learned augmentation's "
                    "learning_rate, or give its generators a cap."
                )
        return values


def compute_final_extents(trial: Trial, trajectories: dict[str, Sequence[float]]) -> dict[str, float]:
    """`NAME_tail`: the mean over the last fifth of the epochs; beside it, where the oracle knows what to expect, that.

    `NAME_oracle` is the expected half-extent and `NAME_excess` how much the tail is above it.
    """
    values: dict[str, float] = {}
    for name, trajectory in trajectories.items():
        if not name.endswith("_extent"):
            continue
        last = trajectory[-math.ceil(TAIL_SHARE * len(trajectory)) :]
        values[f"{name}_tail"] = sum(last) / len(last)
    expected = trial.augmentation.expected_extent(
        trial.dataset, trial.recipe.label_smoothing, trial.task.squared_error_scale(trial.dataset)
    )
    if expected is not None:
        ((name, tail),) = values.items()
        stem = name.removesuffix("_tail")
        values |= {f"{stem}_oracle": expected, f"{stem}_excess": tail - expected}
    return values
