import math

import pytest
import torch

from equistudy.datasets.digits import Digits
from equistudy.datasets.qm7 import QM7
from equistudy.datasets.rotated import RotationTarget, Turned
from equistudy.datasets.springs import Springs
from equistudy.tasks.classification import Classification
from equistudy.tasks.regression import Dynamics, Molecules, Regression

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


def test_errors_are_absolute_and_scored_in_the_unit_of_the_dataset() -> None:
    outputs, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [4.0]])
    task = Molecules(10.0)
    assert task.loss(outputs, targets) == 3.0
    assert task.scores(task.score(outputs, targets), 2, QM7())["mae"] == pytest.approx(15.0)


def test_images_are_no_molecules() -> None:
    with pytest.raises(ValueError, match=r"Molecules takes sets of atoms, got Turned.*images\. Use Regression\(\)"):
        Molecules().check(Turned(Digits(), asked=RotationTarget.ANGLE))
    with pytest.raises(ValueError, match=r"Molecules takes sets of atoms, got Digits"):
        Molecules().check(Digits())
    Molecules().check(QM7())


def test_the_mean_square_over_times_points_and_coordinates() -> None:
    task, springs = Dynamics(), Springs(times=3)
    assert task.num_outputs(springs) == 3
    outputs, targets = torch.full((2, 3, 4, 4), 0.1), torch.zeros(2, 3, 4, 4)
    outputs[1] = 0.3
    assert float(task.loss(outputs, targets)) == pytest.approx(0.1)
    scores = task.scores(task.score(outputs, targets), 2, springs)
    assert scores == pytest.approx({"mse": 0.05, "log_mse": math.log10(0.05)})
    assert task.scores({"mse": torch.tensor(0.0)}, 2, springs)["log_mse"] == -math.inf


def test_images_have_no_trajectory() -> None:
    with pytest.raises(ValueError, match=r"Dynamics needs a trajectory for each input, got Digits, which has a class"):
        Dynamics().check(Digits())
