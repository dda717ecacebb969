"""Sprites against the turns that their labels name."""

import numpy as np
import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.sprites import Sprites


@pytest.mark.parametrize("sectors", [1, 2, 4])
def test_without_jitter_a_sector_is_a_turn_up_to_rounding(sectors):
    images, targets = Sprites(sectors, 0.0, 16, train_size=2 * sectors).load(Split.TRAIN)
    for image, target in zip(images, targets.tolist(), strict=True):
        sector, sprite = divmod(target, 2)
        turned = torch.rot90(images[sprite], 4 // sectors * sector, dims=(1, 2))
        assert (image.int() - turned.int()).abs().max() <= 1


@pytest.mark.parametrize("sprite", [0, 1])
def test_a_sprite_has_no_symmetry_of_its_own(sprite):
    """Else the labels would allow more than `extent`: each turn by 30 degrees or more changes many pixels."""
    sprites = Sprites(1, 180.0, 16, train_size=1200)
    images, _ = sprites.load(Split.TRAIN)
    upright = Sprites(1, 0.0, 16, train_size=2).load(Split.TRAIN).inputs[sprite].double()
    distances = (images[sprite::2].double() - upright).square().mean(dim=(1, 2, 3)).sqrt()
    assert (distances < 0.35 * distances.max()).double().mean() < 60 / 360


def test_sprites_stay_inside_the_disk():
    images, _ = Sprites(1, 180.0, 32, train_size=600).load(Split.TRAIN)
    axis = torch.arange(32) - 31 / 2
    outside = axis[:, None].square() + axis.square() > 16**2
    assert images[:, 0, outside].max() == 0


def test_classes_are_balanced_and_smaller_sets_begin_larger_ones():
    large, small = (Sprites(size=12, train_size=size).load(Split.TRAIN) for size in (400, 100))
    assert torch.equal(large.targets.bincount(), torch.full((4,), 100))
    assert torch.equal(large.inputs[:100], small.inputs)
    assert torch.equal(large.targets[:100], small.targets)
    test = Sprites(size=12, train_size=400, test_size=100).load(Split.TEST)
    assert not torch.equal(test.inputs, small.inputs)


@pytest.mark.parametrize(
    ("sectors", "jitter", "extent"), [(2, 45.0, 45.0), (4, 15.0, 30.0), (2, 90.0, 0.0), (1, 9, 180)]
)
def test_the_extent_that_labels_allow(sectors, jitter, extent):
    assert Sprites(sectors, jitter).extent == extent


def test_mean_and_deviation_are_those_of_the_images():
    images = Sprites(train_size=2000).load(Split.TRAIN).inputs / 255
    np.testing.assert_allclose([images.mean(), images.std()], [Sprites.mean[0], Sprites.std[0]], atol=0.02)


@pytest.mark.parametrize("bad", [{"sectors": 0}, {"jitter": 90.1}, {"jitter": -1.0}, {"sectors": 1, "jitter": 181.0}])
def test_impossible_sectors(bad):
    with pytest.raises(
        ValueError, match=r"jitter must lie in \[0, 180 / sectors\], so that sectors do not overlap, got sectors="
    ):
        Sprites(**bad)


@pytest.mark.parametrize("bad", [{"size": 11}, {"train_size": 3}, {"test_size": 0}])
def test_too_small(bad):
    with pytest.raises(ValueError, match=r"Sprites needs at least 12 pixels and \d+ examples per split, got size="):
        Sprites(**bad)
