"""Cutout against torchvision's erasing, one image at a time, and where its squares lie."""

import pytest
import torch
from scipy import stats

from equistudy.augmentations.cutout import Cutout
from tests.augmentations.reference import functional, one_by_one


@pytest.mark.parametrize("size", [1, 4, 5, 30])
def test_equals_torchvision(size):
    def reference(image, x, y):
        (height, width), half = image.shape[1:], size // 2
        top, left = int(y * height) - half, int(x * width) - half
        bottom, right = min(top + size, height), min(left + size, width)
        top, left = max(top, 0), max(left, 0)
        return functional.erase(image, top, left, bottom - top, right - left, torch.zeros(1))

    rng = torch.Generator().manual_seed(0)
    images = torch.rand(25, 3, 9, 12, generator=rng)
    elements = Cutout(size).draw(25, rng)
    assert torch.equal(Cutout(size).apply(images, elements), one_by_one(reference, images, elements))


def test_every_pixel_is_a_centre_equally_often():
    cut = Cutout(1).augment(torch.ones(8000, 1, 5, 4), torch.Generator().manual_seed(0))
    counts = (cut == 0).sum(dim=0).flatten()
    assert counts.sum() == 8000
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_no_square():
    with pytest.raises(ValueError, match=r"must be at least 1 pixel, got size=0\. Use a quarter"):
        Cutout(0)
