"""Random elements of a group: how often each comes, and that images are moved exactly."""

import pytest
import torch
from scipy import stats

from equistudy.augmentations.action import RandomAction
from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.groups.one_parameter import Rotation


@pytest.mark.parametrize("group", [CyclicGroup(4), DihedralGroup(4)])
def test_every_element_is_equally_likely(group):
    elements = RandomAction(group).draw(4000, torch.Generator().manual_seed(0))
    counts = elements.unique(dim=0, return_counts=True)[1]
    assert len(counts) == group.order
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_quarter_turns_move_pixels_and_invent_none():
    images = torch.rand(4, 2, 7, 7)
    elements = torch.tensor([[0.0, 0.0], [90.0, 0.0], [180.0, 0.0], [270.0, 0.0]])
    for turns, (image, moved) in enumerate(
        zip(images, RandomAction(CyclicGroup(4)).apply(images, elements), strict=True)
    ):
        assert torch.equal(moved, torch.rot90(image, turns, dims=(1, 2)))


def test_a_group_of_one_parameter_gives_any_element_up_to_the_largest():
    elements = RandomAction(Rotation(degrees=(30.0,))).draw(2000, torch.Generator().manual_seed(0))
    assert elements.shape == (2000, 1)
    assert stats.kstest(elements[:, 0].double(), stats.uniform(-30.0, 60.0).cdf).pvalue > 1e-3
