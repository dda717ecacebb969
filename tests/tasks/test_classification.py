import math

import pytest
import torch

from equistudy.datasets.digits import Digits
from equistudy.tasks.classification import Classification

TASK = Classification()


def test_one_logit_for_each_class() -> None:
    assert TASK.num_outputs(Digits()) == 10


def test_loss_is_the_summed_cross_entropy() -> None:
    assert TASK.loss(torch.zeros(3, 10), torch.tensor([0, 4, 9])) == pytest.approx(3 * math.log(10))
    sure = torch.tensor([[100.0, 0.0]])
    assert TASK.loss(sure, torch.tensor([0])) == pytest.approx(0)
    # half of the smoothing lies on the wrong one of two classes
    assert TASK.loss(sure, torch.tensor([0]), label_smoothing=0.2) == pytest.approx(0.1 * 100)


def test_accuracy_counts_the_largest_logits_at_the_target() -> None:
    outputs = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    assert TASK.score(outputs, torch.tensor([1, 1, 1])) == {"accuracy": 2.0}


def test_sums_over_parts_are_the_sum_over_the_whole() -> None:
    rng = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(12, 5, generator=rng, dtype=torch.float64), torch.arange(12) % 5
    whole = TASK.loss(outputs, targets)
    parts = sum(TASK.loss(outputs[rank::3], targets[rank::3]) for rank in range(3))
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=0)
