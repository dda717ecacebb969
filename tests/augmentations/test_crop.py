"""The crop against a loop over images, and the distribution of its shifts."""

import pytest
import torch
from scipy import stats

from equistudy.augmentations.crop import RandomCrop


def shifted(image, dx, dy):
    result = torch.zeros_like(image)
    height, width = image.shape[1:]
    for y in range(height):
        for x in range(width):
            if 0 <= y - dy < height and 0 <= x - dx < width:
                result[:, y, x] = image[:, y - dy, x - dx]
    return result


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_equals_a_loop_over_pixels(padding):
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(12, 3, 5, 7, generator=rng)
    augmentation = RandomCrop(padding)
    elements = augmentation.draw(12, rng)
    cropped = augmentation.apply(images, elements)
    for image, result, (dx, dy) in zip(images, cropped, elements.int().tolist(), strict=True):
        assert torch.equal(result, shifted(image, dx, dy))


def test_positive_is_right_and_down():
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1
    moved = RandomCrop(4).apply(image, torch.tensor([[3.0, -2.0]]))
    assert moved[0, 0].nonzero().tolist() == [[2, 7]]


def test_shifts_are_uniform_and_independent():
    shifts = RandomCrop(2).draw(20_000, torch.Generator().manual_seed(1)).int() + 2
    counts = torch.zeros(5, 5).index_put((shifts[:, 0], shifts[:, 1]), torch.ones(20_000), accumulate=True)
    assert stats.chisquare(counts.flatten()).pvalue > 1e-3


def test_negative_padding():
    with pytest.raises(ValueError, match=r"must not be negative, got padding=-1\. Use 4 for CIFAR"):
        RandomCrop(-1)
