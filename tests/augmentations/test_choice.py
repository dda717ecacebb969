"""Policies: each image through its own parts, in its own order."""

import jaxtyping
import pytest
import torch
from scipy import stats

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.choice import RandomChoice
from equistudy.augmentations.crop import Cutout, RandomCrop
from equistudy.augmentations.mixing import CutMix
from equistudy.augmentations.rotation import RandomRotation

PARTS = (NoAugmentation(), RandomCrop(2), RandomRotation(90.0), Cutout(3))


def test_equals_each_image_through_its_parts():
    rng = torch.Generator().manual_seed(0)
    policy, images = RandomChoice(PARTS, rounds=3), torch.rand(40, 2, 9, 9, generator=rng)
    elements = policy.draw(40, rng)
    augmented = policy.apply(images, elements)
    for image, row, result in zip(images, elements, augmented, strict=True):
        one = image[None]
        for round_ in row.split(policy.num_parameters // 3):
            part = int(round_[0])
            start = 1 + sum(before.num_parameters for before in PARTS[:part])
            one = PARTS[part].apply(one, round_[None, start : start + PARTS[part].num_parameters])
        assert torch.equal(result, one[0])


def test_parts_are_equally_likely_and_rounds_independent():
    policy = RandomChoice(PARTS)
    elements = policy.draw(4000, torch.Generator().manual_seed(0))
    pairs = elements[:, [0, policy.num_parameters // 2]].long()
    counts = torch.bincount(4 * pairs[:, 0] + pairs[:, 1], minlength=16)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_too_few():
    for parts, rounds in ((PARTS[:1], 2), (PARTS, 0)):
        with pytest.raises(ValueError, match=r"two parts and one round, got \d parts and rounds=\d\. Use Chain"):
            RandomChoice(parts, rounds)


def test_bad_parts():
    jaxtyping.config.update("jaxtyping_disable", True)  # as a user runs, without the tests' type checks
    try:
        with pytest.raises(TypeError, match=r"tuple of augmentations, got parts=\[.*Write RandomChoice\(\("):
            RandomChoice([Cutout(), Cutout(3)])
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_what_mixes_images_is_no_part():
    with pytest.raises(
        TypeError, match=r"chooses among augmentations of single images, got .*Write Mixup\(before=RandomCh"
    ):
        RandomChoice((NoAugmentation(), CutMix()))
