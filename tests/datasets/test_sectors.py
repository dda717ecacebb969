"""Sectors against the turns that their labels name."""

import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.sectors import Sectors

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
    assert turned.with_absolute_paths() == Sectors(DIGITS.with_absolute_paths())


@pytest.mark.parametrize("bad", [{"sectors": 0}, {"jitter": 91.0}, {"sectors": 4, "jitter": -1.0}])
def test_sectors_do_not_overlap(bad):
    with pytest.raises(
        ValueError,
        match=r"jitter must lie in \[0, 180 / sectors\], so that sectors do not overlap, got sectors=.*to fill half",
    ):
        Sectors(DIGITS, **bad)


def test_what_cannot_be_turned():
    with pytest.raises(ValueError, match=r"classes must lie in 0 to 9, got \(3, 11\)\. Use None for all"):
        Sectors(DIGITS, classes=(3, 11))
    with pytest.raises(ValueError, match=r"the 20 labels needs an example, got .* test_size=19\. Use at"):
        Sectors(DIGITS, test_size=19)
