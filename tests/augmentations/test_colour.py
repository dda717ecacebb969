"""Colour jitter against torchvision, one image at a time, and the distribution of its factors."""

import pytest
import torch
from scipy import stats

from equistudy.augmentations.colour import ColourJitter
from tests.augmentations.reference import functional, one_by_one


def reference(image, brightness, contrast, saturation, hue):
    changed = functional.adjust_contrast(functional.adjust_brightness(image, brightness), contrast)
    return functional.adjust_hue(functional.adjust_saturation(changed, saturation), hue)


@pytest.mark.parametrize("channels", [1, 3])
def test_equals_torchvision(channels):
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(30, channels, 6, 7, generator=rng)
    images[0] = 0.0
    images[1] = images[1, :1]  # grey, without hue
    images[2, :, :3] = images[2, :1, :3].round()  # black and white, and two channels alike
    augmentation = ColourJitter(0.8, 0.8, 1.2, 0.5)
    elements = augmentation.draw(30, rng)
    expected = one_by_one(reference, images, elements)
    torch.testing.assert_close(augmentation.apply(images, elements), expected, atol=1e-5, rtol=0)


def test_a_third_of_a_turn_exchanges_the_channels():
    images = torch.rand(4, 3, 5, 5)
    turned = ColourJitter(0, 0, 0, 0.5).apply(images, torch.tensor([[1.0, 1.0, 1.0, 1 / 3]]).expand(4, -1))
    torch.testing.assert_close(turned, images.roll(1, dims=1), atol=1e-5, rtol=0)


def test_factors_are_uniform_and_never_negative():
    elements = ColourJitter(0.4, 1.5, 0.2, 0.1).draw(4000, torch.Generator().manual_seed(0)).double()
    for column, (low, high) in zip(elements.T, ((0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)), strict=True):
        assert stats.kstest(column, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_impossible_jitter():
    with pytest.raises(ValueError, match=r"contrast must not be negative, got contrast=-0\.1\. Use 0 for none"):
        ColourJitter(contrast=-0.1)
    with pytest.raises(ValueError, match=r"fraction of the circle in \[0, 0\.5\], got hue=0\.6"):
        ColourJitter(hue=0.6)
