"""What every augmentation must keep: shapes, devices, seeds, and workers that share a batch."""

import pytest
import torch

from equistudy.augmentations.action import RandomAction
from equistudy.augmentations.affine import RandomAffine, RandomScaling
from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.chain import Chain
from equistudy.augmentations.choice import RandomChoice
from equistudy.augmentations.colour import ColourJitter
from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.cutout import Cutout
from equistudy.augmentations.flip import HorizontalFlip
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.mixing import CutMix, Mixup
from equistudy.augmentations.rand_augment import RandAugment
from equistudy.augmentations.resized_crop import RandomResizedCrop
from equistudy.augmentations.rotation import NormalRotation, RandomRotation
from equistudy.augmentations.translation import RandomTranslation
from equistudy.groups.finite import DihedralGroup
from equistudy.spec import canonical, label

AUGMENTATIONS = [
    NoAugmentation(),
    HorizontalFlip(),
    RandomCrop(2),
    RandomTranslation(1.5),
    RandomRotation(30.0),
    NormalRotation(45.0, 20.0),
    RandomAction(DihedralGroup(4)),
    RandomAffine(30.0, 1.5, 1.3, 0.2),
    RandomScaling(1.5),
    RandomResizedCrop(),
    ColourJitter(),
    Cutout(3),
    RandAugment(2, 20.0),
    Mixup(0.4, RandomCrop(2)),
    CutMix(),
    RandomChoice((RandomRotation(45.0), NoAugmentation(), RandomResizedCrop(), RandomCrop(1))),
    Chain((HorizontalFlip(), NoAugmentation(), RandomCrop(2), RandomRotation(45.0))),
    LearnedAugmentation(train_copies=2, before=RandomCrop(2)),
]
everyone = pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=label)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@everyone
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_dtype_stay(augmentation, dtype):
    images = torch.rand(5, 2, 9, 12).to(dtype)
    augmented = augmentation.augment(images, rng())
    assert augmented.shape == images.shape
    assert augmented.dtype == dtype


@everyone
def test_elements(augmentation):
    elements = augmentation.draw(7, rng())
    assert elements.shape == (7, augmentation.num_parameters)
    assert elements.dtype == torch.float32
    assert torch.equal(elements, augmentation.draw(7, rng()))
    if augmentation.num_parameters:
        assert not torch.equal(elements, augmentation.draw(7, rng(1)))
        assert len(elements.unique(dim=0)) > 1


@everyone
def test_the_images_given_are_not_changed(augmentation):
    images = torch.rand(6, 1, 8, 8)
    before = images.clone()
    augmentation.augment(images, rng())
    assert torch.equal(images, before)


@everyone
@pytest.mark.parametrize("channels", [1, 3])
def test_a_share_of_a_batch_is_bit_identical(augmentation, channels):
    images = torch.rand(23, channels, 13, 11, generator=rng(1))
    elements = augmentation.draw(23, rng())
    whole = augmentation.apply(images, elements)
    for share in (slice(0, 1), slice(1, 8), slice(5, 22), slice(0, 23, 2), slice(1, 23, 3), [22, 3, 3]):
        assert torch.equal(augmentation.apply(images[share], elements[share]), whole[share])


@everyone
def test_global_random_state_is_left_alone(augmentation):
    state = torch.get_rng_state()
    augmentation.augment(torch.rand(4, 1, 8, 8, generator=rng()), rng())
    assert torch.equal(torch.get_rng_state(), state)


@everyone
def test_an_empty_batch_stays_empty(augmentation):
    assert augmentation.augment(torch.rand(0, 1, 8, 8), rng()).shape == (0, 1, 8, 8)


@everyone
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_device_of_the_images(augmentation):
    on_device = torch.Generator("cuda").manual_seed(0)
    assert augmentation.augment(torch.rand(4, 1, 8, 8, device="cuda"), on_device).device.type == "cuda"


def test_identities_differ():
    assert len({canonical(augmentation) for augmentation in AUGMENTATIONS}) == len(AUGMENTATIONS)
