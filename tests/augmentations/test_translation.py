"""Translations against scipy, one image at a time, and the distribution of their elements."""

import math

import pytest
import torch
from scipy import ndimage, stats

from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.translation import RandomTranslation


def shifted(image, dx, dy):
    """Bilinear with black outside by scipy, which works in (y, x)."""
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))[0].double().numpy()
    return torch.from_numpy(ndimage.shift(padded, (dy, dx), order=1))[2:-2, 2:-2]


def test_equals_scipy():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(10, 1, 9, 12, generator=rng)
    augmentation = RandomTranslation(3.5)
    elements = augmentation.draw(10, rng)
    moved = augmentation.apply(images, elements)
    for image, result, (dx, dy) in zip(images, moved, elements.tolist(), strict=True):
        torch.testing.assert_close(result[0].double(), shifted(image, dx, dy), atol=1e-5, rtol=0)


def test_whole_pixels_equal_the_crop():
    rng = torch.Generator().manual_seed(2)
    images = torch.rand(20, 1, 8, 8, generator=rng)
    elements = RandomCrop(3).draw(20, rng)
    moved = RandomTranslation(3.0).apply(images, elements)
    torch.testing.assert_close(moved, RandomCrop(3).apply(images, elements), atol=1e-5, rtol=0)


def test_elements_are_uniform_and_independent():
    elements = RandomTranslation(2.5).draw(4000, torch.Generator().manual_seed(0)).double()
    for column in elements.T:
        assert stats.kstest(column, stats.uniform(-2.5, 5.0).cdf).pvalue > 1e-3
        assert stats.pearsonr(column[1:], column[:-1]).pvalue > 1e-3
    assert stats.pearsonr(elements[:, 0], elements[:, 1]).pvalue > 1e-3


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_impossible_translation(bad):
    with pytest.raises(ValueError, match=r"finite and not negative, got max_pixels=.*Use about an eighth"):
        RandomTranslation(bad)
