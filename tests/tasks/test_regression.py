import math

import pytest
import torch

from equistudy.datasets.digits import Digits
from equistudy.datasets.qm7 import QM7
from equistudy.datasets.rotated import RotationTarget, Turned
from equistudy.tasks.classification import Classification
from equistudy.tasks.molecules import Molecules
from equistudy.tasks.regression import Regression

ANGLES = Turned(Digits(), 90.0, asked=RotationTarget.ANGLE)  # standard deviation 90 / sqrt 3
OUTPUTS, TARGETS = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[1.0], [0.0], [1.0]])


def test_targets_count_in_units_of_the_scale_about_their_mean() -> None:
    degrees = torch.tensor([[90.0], [-45.0]])
    torch.testing.assert_close(Regression(180 / math.pi).prepare_targets(degrees, ANGLES), torch.deg2rad(degrees))
    torch.testing.assert_close(Regression().prepare_targets(degrees, ANGLES), degrees * math.sqrt(3) / 90)
    energies = torch.tensor([[QM7.target_mean], [QM7.target_mean + QM7.target_std]])
    torch.testing.assert_close(Regression().prepare_targets(energies, QM7()), torch.tensor([[0.0], [1.0]]))


def test_the_loss_is_the_summed_squared_error() -> None:
    assert Regression().num_outputs(ANGLES) == 1
    assert Regression().loss(OUTPUTS, TARGETS) == 13.0


def test_the_oracle_learns_the_unit_of_a_squared_error_alone() -> None:
    assert Regression(2.0).squared_error_scale(ANGLES) == 2.0
    assert Regression().squared_error_scale(ANGLES) == pytest.approx(90 / math.sqrt(3))
    assert Molecules(2.0).squared_error_scale(QM7()) == math.inf
    assert Classification().squared_error_scale(Digits()) == math.inf


@pytest.mark.parametrize("scale", [1.0, 10.0, None])
def test_scores_are_in_the_unit_of_the_dataset(scale: float | None) -> None:
    unit = 90 / math.sqrt(3) if scale is None else scale
    task = Regression(scale)
    parts = [task.score(OUTPUTS[part], TARGETS[part]) for part in (slice(0, 1), slice(1, 3))]
    sums = {name: parts[0][name] + parts[1][name] for name in parts[0]}
    scores = task.scores(sums, 3, ANGLES)
    assert scores == pytest.approx({"rmse": unit * math.sqrt(13 / 3), "mae": unit * 5 / 3})


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_is_positive(scale: float) -> None:
    with pytest.raises(
        ValueError, match=r"must be positive and finite, in the target's unit, got scale=.*\. Use 1, or None"
    ):
        Regression(scale)
