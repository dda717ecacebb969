"""Mixup and CutMix against a loop over images, and the distribution of what they draw."""

import math

import pytest
import torch
from scipy import stats

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.mixing import CutMix, Mixup


def mixup(image, partner, weight, x, y):
    return weight * image + (1 - weight) * partner, weight


def cutmix(image, partner, weight, x, y):
    """As the authors' rand_bbox, pixel by pixel."""
    height, width = image.shape[1:]
    cut_width, cut_height = int(width * math.sqrt(1 - weight)), int(height * math.sqrt(1 - weight))
    left, top = int(x * width) - cut_width // 2, int(y * height) - cut_height // 2
    mixed, replaced = image.clone(), 0
    for row in range(max(top, 0), min(top + cut_height, height)):
        for column in range(max(left, 0), min(left + cut_width, width)):
            mixed[:, row, column] = partner[:, row, column]
            replaced += 1
    return mixed, 1 - replaced / (height * width)


@pytest.mark.parametrize("before", [NoAugmentation(), RandomCrop(2)], ids=str)
@pytest.mark.parametrize(("kind", "reference"), [(Mixup, mixup), (CutMix, cutmix)])
def test_equals_a_loop_over_images(kind, reference, before):
    images = torch.rand(24, 2, 9, 11, generator=torch.Generator().manual_seed(1))
    mixing = kind(0.8, before)
    elements = mixing.draw(24, torch.Generator().manual_seed(0))
    mixed = mixing.augment(images, torch.Generator().manual_seed(0))
    moved = before.apply(images, elements[:, :-4])
    weights = mixing.target_weights(elements, (9, 11))
    for index, (partner, *own) in enumerate(elements[:, -4:].tolist()):
        expected, share = reference(moved[index], moved[int(partner)], *own)
        torch.testing.assert_close(mixed[index], expected, atol=1e-6, rtol=0)
        assert weights[index] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_weights_are_beta_and_places_uniform(alpha):
    elements = Mixup(alpha).draw(4000, torch.Generator().manual_seed(0)).double()
    assert stats.kstest(elements[:, 1], stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    for column in (2, 3):
        assert stats.kstest(elements[:, column], "uniform").pvalue > 1e-3


def test_partners_are_uniform_permutations():
    rng = torch.Generator().manual_seed(0)
    drawn = [tuple(Mixup().partners(Mixup().draw(3, rng)).tolist()) for _ in range(1200)]
    counts = {order: drawn.count(order) for order in set(drawn)}
    assert len(counts) == 6
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_tiny_alpha_mixes_hardly_ever():
    weights = Mixup(1e-3).draw(2000, torch.Generator().manual_seed(0))[:, 1]
    assert weights.isfinite().all()
    assert ((weights < 1e-3) | (weights > 1 - 1e-3)).float().mean() > 0.95


def test_impossible_mixing():
    with pytest.raises(ValueError, match=r"alpha must be positive and finite, got alpha=0\.0\. Use 1 for uniform"):
        CutMix(0.0)
    for before in (Mixup(), LearnedAugmentation()):
        with pytest.raises(TypeError, match=r"Before CutMix, images are augmented one by one, got before=.*Use"):
            CutMix(before=before)
