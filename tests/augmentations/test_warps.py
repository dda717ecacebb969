"""Translation and rotation against one image at a time, and the distribution of their elements."""

import math

import pytest
import torch
from scipy import ndimage, stats

from equistudy.augmentations.rotation import RandomRotation
from equistudy.augmentations.translation import RandomTranslation


def interpolated(image, output_to_input, offset):
    """Bilinear with black outside by scipy, which works in (y, x)."""
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))[0].double().numpy()
    centre = (torch.tensor(padded.shape).double() - 1) / 2
    start = centre - output_to_input @ centre + offset
    moved = ndimage.affine_transform(padded, output_to_input.numpy(), start.numpy(), order=1)
    return torch.from_numpy(moved)[2:-2, 2:-2]


def test_translation_equals_scipy():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(10, 1, 9, 12, generator=rng)
    augmentation = RandomTranslation(3.5)
    elements = augmentation.draw(10, rng)
    moved = augmentation.apply(images, elements)
    for image, result, (dx, dy) in zip(images, moved, elements.tolist(), strict=True):
        expected = interpolated(image, torch.eye(2).double(), -torch.tensor([dy, dx]).double())
        torch.testing.assert_close(result[0].double(), expected, atol=1e-5, rtol=0)


def test_rotation_equals_scipy():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(10, 1, 11, 8, generator=rng)
    augmentation = RandomRotation(180.0)
    elements = augmentation.draw(10, rng)
    turned = augmentation.apply(images, elements)
    for image, result, (degrees,) in zip(images, turned, elements.tolist(), strict=True):
        sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
        # in (y, x) with y down: a counter-clockwise turn of the content reads at the clockwise turned place
        expected = interpolated(image, torch.tensor([[cos, sin], [-sin, cos]]).double(), torch.zeros(2).double())
        torch.testing.assert_close(result[0].double(), expected, atol=2e-5, rtol=0)


def test_quarter_turn_is_counter_clockwise():
    images = torch.rand(2, 3, 6, 6)
    turned = RandomRotation(90.0).apply(images, torch.full((2, 1), 90.0))
    torch.testing.assert_close(turned, torch.rot90(images, 1, dims=(2, 3)), atol=1e-5, rtol=0)


def test_whole_pixels_equal_the_crop():
    from equistudy.augmentations.crop import RandomCrop

    rng = torch.Generator().manual_seed(2)
    images = torch.rand(20, 1, 8, 8, generator=rng)
    elements = RandomCrop(3).draw(20, rng)
    moved = RandomTranslation(3.0).apply(images, elements)
    torch.testing.assert_close(moved, RandomCrop(3).apply(images, elements), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("augmentation", "bound"), [(RandomTranslation(2.5), 2.5), (RandomRotation(30.0), 30.0)])
def test_elements_are_uniform_and_independent(augmentation, bound):
    elements = augmentation.draw(4000, torch.Generator().manual_seed(0)).double()
    for column in elements.T:
        assert stats.kstest(column, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
        assert stats.pearsonr(column[1:], column[:-1]).pvalue > 1e-3
    if elements.shape[1] == 2:
        assert stats.pearsonr(elements[:, 0], elements[:, 1]).pvalue > 1e-3


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_impossible_translation(bad):
    with pytest.raises(ValueError, match=r"finite and not negative, got max_pixels=.*Use about an eighth"):
        RandomTranslation(bad)


@pytest.mark.parametrize("bad", [-1.0, 180.5, math.nan])
def test_impossible_rotation(bad):
    with pytest.raises(ValueError, match=r"lie in \[0, 180\], got max_degrees=.*Use 180 for every angle"):
        RandomRotation(bad)
