"""RandAugment against torchvision's operations, one image at a time, and the distribution of what is drawn."""

import math

import pytest
import torch
from scipy import stats

from equistudy.augmentations.rand_augment import Operation, RandAugment
from tests.augmentations.reference import functional

BILINEAR = functional.InterpolationMode.BILINEAR


def affine(image, angle=0.0, translate=(0.0, 0.0), shear=(0.0, 0.0)):
    """torchvision turns clockwise, and shears by angles to the left and up."""
    return functional.affine(image, angle, list(translate), 1.0, list(shear), interpolation=BILINEAR)


def reference(image, operation, sign, strength):
    share = strength / 30
    signed, width, height = sign * share, image.shape[2], image.shape[1]
    angle = -math.degrees(math.atan(0.3 * signed))
    return {
        Operation.NOTHING: lambda: image,
        Operation.SHEAR_X: lambda: affine(image, shear=(angle, 0.0)),
        Operation.SHEAR_Y: lambda: affine(image, shear=(0.0, angle)),
        Operation.TRANSLATE_X: lambda: affine(image, translate=(150 / 331 * width * signed, 0.0)),
        Operation.TRANSLATE_Y: lambda: affine(image, translate=(0.0, 150 / 331 * height * signed)),
        Operation.ROTATE: lambda: affine(image, angle=-30 * signed),
        Operation.BRIGHTNESS: lambda: functional.adjust_brightness(image, 1 + 0.9 * signed),
        Operation.SATURATION: lambda: functional.adjust_saturation(image, 1 + 0.9 * signed),
        Operation.CONTRAST: lambda: functional.adjust_contrast(image, 1 + 0.9 * signed),
        Operation.SHARPNESS: lambda: functional.adjust_sharpness(image, 1 + 0.9 * signed),
        Operation.POSTERISE: lambda: functional.posterize(image, round(8 - 4 * share)),
        Operation.SOLARISE: lambda: functional.solarize(image, 1 - share),
        Operation.STRETCH: lambda: functional.autocontrast(image),
        Operation.EQUALISE: lambda: functional.equalize(image),
    }[operation]()


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_equals_torchvisions(operation, channels):
    images = torch.rand(6, channels, 20, 17, generator=torch.Generator().manual_seed(0))
    images[0] = 0.25  # of one value
    images[1] = images[1].square() / 2  # dark
    augmentation = RandAugment(1, strength=12.0)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    elements = torch.stack([torch.full((6,), float(operation)), signs], dim=1)
    expected = torch.stack(
        [reference(image, operation, sign, 12.0) for image, sign in zip(images, signs.tolist(), strict=True)]
    )
    torch.testing.assert_close(augmentation.apply(images, elements), expected, atol=1e-5, rtol=0)


def test_rounds_act_one_after_the_other():
    images = torch.rand(40, 3, 12, 12)
    elements = RandAugment(2).draw(40, torch.Generator().manual_seed(0))
    once = RandAugment(1)
    expected = once.apply(once.apply(images, elements[:, :2]), elements[:, 2:])
    torch.testing.assert_close(RandAugment(2).apply(images, elements), expected)


def test_operations_and_signs_are_equally_likely_and_independent():
    elements = RandAugment(2).draw(7000, torch.Generator().manual_seed(0))
    for column in (0, 2):
        assert stats.chisquare(elements[:, column].long().bincount(minlength=14)).pvalue > 1e-3
    assert stats.chisquare([(elements[:, 1] == sign).sum() for sign in (-1, 1)]).pvalue > 1e-3
    pairs = 14 * elements[:, 0] + elements[:, 2]
    assert stats.chisquare(pairs.long().bincount(minlength=196)).pvalue > 1e-3


def test_impossible_policies():
    for bad in ({"rounds": 0}, {"strength": -1.0}, {"strength": 31.0}):
        with pytest.raises(ValueError, match=r"at least one round and a strength from 0 to 30, got .*usual choice"):
            RandAugment(**bad)
