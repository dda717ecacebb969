"""The flip against torch's, and how often it happens."""

import pytest
import torch
from scipy import stats

from equistudy.augmentations.flip import HorizontalFlip


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
