"""Accuracy: counted, with Wilson's interval."""

from typing import Any

import pytest
import torch
from torch import nn

from equistudy.measures.accuracy import Accuracy
from equistudy.measuring.intervals import wilson_interval
from equistudy.measuring.measure import Skipped, Subject


def subject(num_images: int, **fields: Any) -> Subject:
    """The brightest of three pixels is the class the network gives; every fourth label differs."""
    classes = torch.arange(num_images) % 3
    images = torch.zeros(num_images, 1, 1, 3)
    images[torch.arange(num_images), 0, 0, classes] = 1
    targets = torch.where(torch.arange(num_images) % 4 == 0, (classes + 1) % 3, classes)
    made = Subject(nn.Flatten(), {"pixels": "", "logits": ""}, images, targets, (0.5,), (0.1,), None, None, 0)
    return made._replace(**fields)


@pytest.mark.parametrize("num_images", [4, 300])
def test_correct_answers_are_counted(num_images: int) -> None:
    (row,), skipped = Accuracy().measure(subject(num_images))
    assert skipped == []
    assert row.value == 0.75
    assert (row.low, row.high) == wilson_interval(3 * num_images // 4, num_images)
    assert (row.stage, row.depth, row.images) == ("logits", 1.0, num_images)
    assert (row.group, row.element, row.magnitude, row.stride) == (None, None, None, None)


def test_a_constant_network_is_right_by_chance_alone() -> None:
    class Constant(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, 1.0, 0.0]).expand(len(images), 3)

    (row,), _ = Accuracy().measure(subject(300, network=Constant()))
    assert row.value == pytest.approx(1 / 3, abs=0.01)


def test_images_without_labels_have_no_accuracy() -> None:
    result = Accuracy().measure(subject(4, targets=None))
    assert result == ([], [Skipped("accuracy", "logits", None, "the images have no labels")])
