"""Sprites against the turns that their labels name.

The paper's own sprites, where their file is, and files that are something else.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.sectors import Sectors
from equistudy.datasets.sprites import MarioIggy, Sprites


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


@pytest.fixture
def folder():
    path = Path(__file__).parents[3] / "shared" / "data" / "mario-iggy"
    if not (path / "images.npz").is_file():
        pytest.skip("the paper's sprites are not beside the checkout")
    return path


def test_the_papers_sprites(folder):
    images, targets = MarioIggy(str(folder)).load(Split.TRAIN)
    assert images.shape == (2, 3, 32, 32)
    assert targets.tolist() == [0, 1]
    values = images.double() / 255
    np.testing.assert_allclose(values.mean((0, 2, 3)), MarioIggy.mean, atol=1e-3)
    np.testing.assert_allclose(values.std((0, 2, 3)), MarioIggy.std, atol=1e-3)
    turned = Sectors(MarioIggy(str(folder), size=16), 2, 45.0, train_size=40, test_size=8)
    assert turned.load(Split.TEST).inputs.shape == (8, 3, 16, 16)
    assert turned.num_classes == Sprites(2, 45.0).num_classes


def written(path, **arrays):
    np.savez(path / "images.npz", **arrays)
    return MarioIggy(str(path))


def test_what_is_not_the_papers_file(tmp_path):
    with pytest.raises(ValueError, match=r"MarioIggy needs its data files, got none in"):
        MarioIggy(str(tmp_path)).load(Split.TRAIN)
    good = np.zeros((1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"images\.npz must hold mario, iggy, got .*images\.npz without iggy"):
        written(tmp_path, mario=good).load(Split.TRAIN)
    with pytest.raises(ValueError, match=r"The values of mario must lie in \[0, 1\], got 2 to 2 in .*Copy it ag"):
        written(tmp_path, mario=good + 2, iggy=good).load(Split.TRAIN)
    assert written(tmp_path, mario=good, iggy=good + 1).load(Split.TEST).inputs[1].min() == 255
    (tmp_path / "images.npz").write_bytes(b"PK no archive")
    with pytest.raises(
        ValueError,
        match=r"MarioIggy needs an npz file, got .*images\.npz, .* not a complete zip archive.*Copy it again",
    ):
        MarioIggy(str(tmp_path)).load(Split.TRAIN)
