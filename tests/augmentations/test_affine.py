"""Affine maps against torchvision, one image at a time, and the distribution of their elements.

Translations against scipy, one image at a time, and the distribution of their elements.
"""

import math

import pytest
import torch
from scipy import ndimage, stats

from equistudy.augmentations.affine import RandomAffine, RandomScaling, RandomTranslation
from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.rotation import RandomRotation
from tests.augmentations.reference import functional, one_by_one


def reference(image, degrees, dx, dy, log_factor, shear):
    """torchvision turns clockwise, and shears by an angle to the left."""
    bilinear = functional.InterpolationMode.BILINEAR
    angle = -math.degrees(math.atan(shear))
    return functional.affine(image, -degrees, [dx, dy], math.exp(log_factor), [angle, 0.0], interpolation=bilinear)


def test_equals_torchvision():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(20, 3, 12, 15, generator=rng, dtype=torch.float64)
    augmentation = RandomAffine(180.0, 3.0, 1.5, 0.4)
    elements = augmentation.draw(20, rng)
    expected = one_by_one(reference, images, elements)
    torch.testing.assert_close(augmentation.apply(images, elements), expected, atol=2e-5, rtol=0)


def test_each_part_alone_equals_its_own_augmentation():
    images, zero = torch.rand(4, 1, 9, 9), torch.zeros(4, 1)
    degrees, shifts, factors = torch.randn(4, 1) * 50, torch.randn(4, 2), torch.randn(4, 1) / 3
    affine = RandomAffine(180.0, 5.0, 3.0)
    for elements, other, own in (
        ((degrees, zero, zero, zero, zero), RandomRotation(180.0), degrees),
        ((zero, shifts, zero, zero), RandomTranslation(5.0), shifts),
        ((zero, zero, zero, factors, zero), RandomScaling(3.0), factors),
    ):
        moved = affine.apply(images, torch.cat(elements, dim=1))
        torch.testing.assert_close(moved, other.apply(images, own), atol=1e-5, rtol=0)


def test_a_factor_of_two_enlarges():
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 3:5, 3:5] = 1
    assert RandomScaling(2.0).apply(image, torch.tensor([[math.log(2)]])).sum() == pytest.approx(16, rel=0.01)


def test_nothing_is_done_by_default():
    images = torch.rand(3, 2, 7, 8)
    torch.testing.assert_close(RandomAffine().augment(images, torch.Generator()), images, atol=1e-6, rtol=0)


def test_elements_are_uniform_and_independent():
    elements = RandomAffine(20.0, 2.0, 1.5, 0.3).draw(4000, torch.Generator().manual_seed(0)).double()
    for column, largest in zip(elements.T, (20.0, 2.0, 2.0, math.log(1.5), 0.3), strict=True):
        assert stats.kstest(column, stats.uniform(-largest, 2 * largest).cdf).pvalue > 1e-3
    correlations = torch.corrcoef(elements.T) - torch.eye(5)
    assert correlations.abs().max() < 0.06
    logs = RandomScaling(1.5).draw(4000, torch.Generator().manual_seed(0))[:, 0].double()
    assert stats.kstest(logs, stats.uniform(-math.log(1.5), 2 * math.log(1.5)).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("name", "bad"), [("max_degrees", -1.0), ("max_pixels", math.inf), ("max_factor", 0.9)])
def test_impossible_affine(name, bad):
    with pytest.raises(
        ValueError, match=rf"{name} must be finite and at least [01] \([01] does nothing\), got {name}="
    ):
        RandomAffine(**{name: bad})
    with pytest.raises(ValueError, match=r"max_factor must be finite and at least 1.*got max_factor=nan"):
        RandomScaling(math.nan)


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


def test_translations_are_uniform_and_independent():
    elements = RandomTranslation(2.5).draw(4000, torch.Generator().manual_seed(0)).double()
    for column in elements.T:
        assert stats.kstest(column, stats.uniform(-2.5, 5.0).cdf).pvalue > 1e-3
        assert stats.pearsonr(column[1:], column[:-1]).pvalue > 1e-3
    assert stats.pearsonr(elements[:, 0], elements[:, 1]).pvalue > 1e-3


@pytest.mark.parametrize("bad", [-1.0, math.inf, math.nan])
def test_impossible_translation(bad):
    with pytest.raises(ValueError, match=r"finite and not negative, got max_pixels=.*Use about an eighth"):
        RandomTranslation(bad)
