import pytest
import torch

from equistudy.datasets.digits import Digits
from equistudy.datasets.qm7 import QM7
from equistudy.datasets.rotated import RotationTarget, Turned
from equistudy.tasks.molecules import Molecules


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
