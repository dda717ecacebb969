"""Changes of tone: what they keep, and images at which they have nothing to do."""

import pytest
import torch

from equistudy.augmentations import tone


@pytest.fixture
def images():
    return torch.rand(5, 3, 8, 9, generator=torch.Generator().manual_seed(0))


def factors(count, value):
    return torch.full((count, 1, 1, 1), value)


def test_sharpening_by_one_changes_nothing_and_a_flat_image_stays(images):
    torch.testing.assert_close(tone.sharpen(images, factors(5, 1.0)), images)
    flat = torch.full((1, 1, 6, 6), 0.3)
    torch.testing.assert_close(tone.sharpen(flat, factors(1, 3.0)), flat)
    assert tone.sharpen(images[..., :2], factors(5, 0.0)).equal(images[..., :2])


def test_solarising_twice_at_one_half_and_posterising_to_one_bit(images):
    assert set(tone.posterise(images, 1).unique().tolist()) == {0.0, 0.5}
    assert tone.solarise(images, 0.5).max() <= 0.5
    assert tone.solarise(images, 1.1).equal(images)


def test_stretched_images_reach_from_black_to_white(images):
    stretched = tone.stretch_contrast(images / 3 + 0.2)
    torch.testing.assert_close(stretched.amin((2, 3)), torch.zeros(5, 3))
    torch.testing.assert_close(stretched.amax((2, 3)), torch.ones(5, 3))
    torch.testing.assert_close(tone.stretch_contrast(stretched), stretched)


def test_equalised_images_keep_their_order_and_use_all_levels():
    dark = (torch.arange(64 * 64).reshape(1, 1, 64, 64) / 4096).square()
    equalised = tone.equalise(dark)
    assert (equalised.flatten().diff() >= 0).all()
    shares = torch.histc(equalised, 8, 0, 1) / 4096
    assert (shares - 1 / 8).abs().max() < 0.05
    one_value = torch.full((1, 1, 5, 5), 0.4)
    torch.testing.assert_close(tone.equalise(one_value), one_value)


def test_each_image_for_itself(images):
    for change in (tone.stretch_contrast, tone.equalise, lambda given: tone.sharpen(given, factors(len(given), 1.7))):
        assert torch.equal(change(images)[2:4], change(images[2:4]))
