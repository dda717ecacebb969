import math

import pytest
import torch

from equistudy.datasets.digits import Digits
from equistudy.datasets.springs import Springs
from equistudy.tasks.dynamics import Dynamics


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
