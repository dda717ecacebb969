"""Random elements of a group: how often each comes, and that images are moved exactly.

The flip against torch's, and how often it happens.
"""

import pytest
import torch
from scipy import stats

from equistudy.augmentations.action import HorizontalFlip, RandomAction
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


def test_mirrors_exactly_the_images_whose_element_is_one():
    images = torch.rand(6, 3, 4, 5)
    elements = torch.tensor([0.0, 1, 1, 0, 1, 0])[:, None]
    flipped = HorizontalFlip().apply(images, elements)
    for image, result, element in zip(images, flipped, elements, strict=True):
        assert torch.equal(result, image.flip(-1) if element else image)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5, 1.0])
def test_probability(probability):
    elements = HorizontalFlip(probability).draw(5000, torch.Generator().manual_seed(0))
    assert stats.binomtest(int(elements.sum()), 5000, probability).pvalue > 1e-3


@pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
def test_impossible_probability(probability):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got probability=.*Use 0\.5"):
        HorizontalFlip(probability)
