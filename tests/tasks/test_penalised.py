"""A penalised task is its task but in training."""

import pytest
import torch

from equistudy.datasets.dataset import Target
from equistudy.datasets.digits import Digits
from equistudy.groups.translation import Translation
from equistudy.spec import to_canonical_json
from equistudy.tasks.classification import Classification
from equistudy.tasks.penalised import Depth, Penalised, Penalty

SHIFTS = Translation(max_pixels=2)


def test_loss_and_scores_are_those_of_the_task():
    task, plain = Penalised(Classification(), (Penalty(SHIFTS),)), Classification()
    outputs, targets = torch.randn(6, 10), torch.arange(6)
    task.check(Digits())
    assert task.target is Target.CLASS
    assert task.num_outputs(Digits()) == 10
    assert torch.equal(task.prepare_targets(targets, Digits()), targets)
    assert torch.equal(task.loss(outputs, targets, 0.1), plain.loss(outputs, targets, 0.1))
    sums = task.score(outputs, targets)
    assert task.scores(sums, 6, Digits()) == plain.scores(plain.score(outputs, targets), 6, Digits())


def test_identities_differ():
    tasks = [
        Classification(),
        *(Penalised(Classification(), (Penalty(SHIFTS, depth=depth),)) for depth in Depth),
        Penalised(Classification(), (Penalty(SHIFTS, 0.2),)),
    ]
    assert len({to_canonical_json(task) for task in tasks}) == len(tasks)


def test_impossible_penalties():
    with pytest.raises(ValueError, match=r"weight must be finite and not negative, got weight=-1\. Use 0 for no"):
        Penalty(SHIFTS, -1)
    with pytest.raises(ValueError, match=r"erosion must not be negative, got erosion=-1"):
        Penalty(SHIFTS, erosion=-1)
    with pytest.raises(
        ValueError, match=r"Penalised needs at least one penalty, got penalties=\(\)\. Use Classification itself"
    ):
        Penalised(Classification(), ())
