"""Sectors against the turns that their labels name, and the paper's own sprites where their file is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.mario_iggy import MarioIggy
from equistudy.datasets.sectors import Sectors
from equistudy.datasets.sprites import Sprites

DIGITS = Digits(canvas=16, digit=8)


def test_without_jitter_a_sector_is_a_turn():
    turned = Sectors(DIGITS, 4, 0.0, classes=(3, 4, 7), train_size=24, test_size=12)
    images, targets = turned.load(Split.TRAIN)
    own, labels = DIGITS.load(Split.TRAIN)
    for index in range(24):
        sector, place = divmod(int(targets[index]), 3)
        first = [int(at) for at in (labels == (3, 4, 7)[place]).nonzero()][index // 12]
        assert sector == index % 4
        expected = torch.rot90(own[first], sector, dims=(1, 2))
        assert (images[index].int() - expected.int()).abs().max() <= 1


def test_labels_are_balanced_and_smaller_sets_begin_larger_ones():
    large, small = (Sectors(DIGITS, 2, 60.0, classes=(3, 4, 7), train_size=size) for size in (600, 60))
    assert large.num_classes == 6
    assert large.extent == 30.0
    loaded = large.load(Split.TRAIN)
    assert loaded.targets.bincount().tolist() == [100] * 6
    assert torch.equal(loaded.inputs[:60], small.load(Split.TRAIN).inputs)
    # an image that comes again has another angle
    again = Sectors(DIGITS, 1, 180.0, classes=(3,), train_size=300).load(Split.TRAIN).inputs
    count = int((DIGITS.load(Split.TRAIN).targets == 3).sum())
    assert not torch.equal(again[0], again[count])
    assert Sectors(DIGITS, 1, 180.0).extent == 180.0


def test_it_stands_for_its_dataset():
    turned = Sectors(DIGITS)
    assert (turned.fingerprint(), turned.mean, turned.std) == (DIGITS.fingerprint(), DIGITS.mean, DIGITS.std)
    assert (turned.image_shape, turned.background) == (DIGITS.image_shape, DIGITS.background)
    assert turned.anchored() == Sectors(DIGITS.anchored())


@pytest.mark.parametrize("bad", [{"sectors": 0}, {"jitter": 91.0}, {"sectors": 4, "jitter": -1.0}])
def test_sectors_do_not_overlap(bad):
    with pytest.raises(ValueError, match=r"jitter lies in \[0, 180 / sectors\], got sectors=.*to fill half"):
        Sectors(DIGITS, **bad)


def test_what_cannot_be_turned():
    with pytest.raises(ValueError, match=r"classes are some of 0 to 9, got \(3, 11\)\. Use None for all"):
        Sectors(DIGITS, classes=(3, 11))
    with pytest.raises(ValueError, match=r"example of each of 20 labels, got train_size=10000, test_size=19\. Use at"):
        Sectors(DIGITS, test_size=19)


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
    with pytest.raises(ValueError, match=r"MarioIggy needs its files, got none in"):
        MarioIggy(str(tmp_path)).load(Split.TRAIN)
    good = np.zeros((1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"iggy is an array of \(1, 3, 32, 32\) numbers in \[0, 1\], got none in"):
        written(tmp_path, mario=good).load(Split.TRAIN)
    with pytest.raises(ValueError, match=r"mario is an array of .*, got \(1, 3, 32, 32\) from 2 to 2 in .*Copy it ag"):
        written(tmp_path, mario=good + 2, iggy=good).load(Split.TRAIN)
    assert written(tmp_path, mario=good, iggy=good + 1).load(Split.TEST).inputs[1].min() == 255
    (tmp_path / "images.npz").write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match=r"The sprites are a NumPy archive, got .*images\.npz with .*Copy it again"):
        MarioIggy(str(tmp_path)).load(Split.TRAIN)
