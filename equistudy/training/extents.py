"""The curves of a learned augmentation: its half-extents per epoch, and their final values."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.augmentations.learned.network import AugmentedNetwork
from equistudy.study.trial import Trial
from equistudy.training.failures import NotANumberError

__all__ = ["ExtentTrajectory", "compute_final_extents"]

TAIL_SHARE = 0.2  # fraction of the epochs over which a final value is averaged, because single steps fluctuate


class ExtentTrajectory:
    """Records the half-extents of a learned augmentation, and their gradients, over the steps of an epoch."""

    def __init__(self, network: AugmentedNetwork) -> None:
        self._network = network
        self._steps: list[Float[Tensor, "3 P"]] = []
        self._weights: list[Float[Tensor, ""]] = []

    def record(self) -> None:
        """Records half-extents and gradients; call it between the backward pass and the optimiser step."""
        box, penalty = self._network.box, self._network.penalty()
        (paid,) = torch.autograd.grad(penalty, box.raw)
        with torch.enable_grad():
            (stretch,) = torch.autograd.grad((2 * box.rates * box.learned_extents).sum(), box.raw)
        assert box.raw.grad is not None
        slopes = torch.stack([box.raw.grad - paid, paid]) / stretch  # fixed ones have no stretch
        self._steps.append(torch.cat([box.extents[None], slopes]))
        self._weights.append(self._network.weight.clone())

    def state(self) -> dict[str, list[Tensor]]:
        """What was recorded since the last call of `finish_epoch`."""
        return {"steps": self._steps, "weights": self._weights}

    def load(self, state: Mapping[str, list[Tensor]]) -> None:
        """Restores a state."""
        self._steps, self._weights = list(state["steps"]), list(state["weights"])

    def finish_epoch(self) -> dict[str, float]:
        """The means over the steps since the last call, for each learned generator.

        `NAME_extent` is the half-extent in its unit. `NAME_data_slope` and `NAME_regulariser_slope` are the derivatives
        of the two parts of the objective by the full width (for rotations in radians); they cancel at a stationary
        point. `regulariser_weight` is lambda, if it adapts.
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
                    f"The {name.replace('_', ' ')} became {value}. Lower the learned augmentation's learning_rate, or "
                    "set a cap for its generators."
                )
        return values


def compute_final_extents(trial: Trial, trajectories: dict[str, Sequence[float]]) -> dict[str, float]:
    """`NAME_tail`, the mean half-extent over the last fifth of the epochs, and how it compares to the oracle.

    If the oracle predicts a half-extent, it is `NAME_oracle`, and `NAME_excess` is the tail minus the oracle.
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
