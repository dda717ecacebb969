"""Augmentations one after the other."""

import jaxtyping
import pytest
import torch

from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.chain import Chain
from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.mixing import Mixup


def test_chain_acts_in_order():
    images, elements = torch.rand(4, 1, 8, 8), torch.tensor([[1.0, 3.0, 0.0]]).repeat(4, 1)
    chained = Chain((HorizontalFlip(), RandomCrop(3))).apply(images, elements)
    assert torch.equal(chained[..., 3:], images.flip(3)[..., :-3])
    assert not chained[..., :3].any()


def test_an_empty_chain():
    with pytest.raises(ValueError, match=r"at least one augmentation, got parts=\(\)\. Use NoAugmentation"):
        Chain(())


@pytest.fixture
def without_type_checks():
    """The message that a user sees, who runs without the tests' type checks."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("without_type_checks")
def test_bad_parts_of_a_chain():
    with pytest.raises(TypeError, match=r"tuple of augmentations, got parts=\[HorizontalFlip.*Write Chain\(\("):
        Chain([HorizontalFlip()])
    with pytest.raises(TypeError, match=r"tuple of augmentations, got parts=\(3,\)"):
        Chain((3,))


def test_what_mixes_images_is_no_part():
    with pytest.raises(
        TypeError, match=r"Mixup and CutMix act after .* cannot be part of a Chain\. Write Mixup\(before=Chain"
    ):
        Chain((HorizontalFlip(), Mixup()))
