"""The spec of the learned augmentation: what it draws, and what it refuses.

The baseline: a box whose half-extents stay.
"""

import math

import jaxtyping
import pytest
import torch
from scipy import stats
from torch import nn

from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.chain import Chain
from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.learned.augmentation import FixedAugmentation, LearnedAugmentation
from equistudy.augmentations.learned.generators import AFFINE, RotationGenerator, ScalingGenerator
from equistudy.augmentations.learned.regulariser import EntropyRegulariser
from equistudy.datasets.digits import Digits
from equistudy.datasets.sprites import Sprites
from equistudy.models.resnet import ResNet
from equistudy.recipe import AdamW, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.trainer import Trainer

ROTATION = (RotationGenerator(),)


def rng():
    return torch.Generator().manual_seed(0)


def test_coefficients_are_uniform_and_independent():
    units = LearnedAugmentation(train_copies=2).draw(3000, rng()).double()
    assert units.shape == (3000, 12)
    for column, neighbour in zip(units.T, units.T.roll(1, 0), strict=True):
        assert stats.kstest(column, stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-4
        assert stats.pearsonr(column, neighbour).pvalue > 1e-4


def test_what_comes_before_acts_on_the_batch():
    crop, images = RandomCrop(2), torch.rand(5, 1, 8, 8)
    augmentation = LearnedAugmentation(ROTATION, before=crop)
    elements = augmentation.draw(5, rng())
    assert elements.shape == (5, 3) == (5, augmentation.num_parameters)
    assert torch.equal(augmentation.apply(images, elements), crop.apply(images, crop.draw(5, rng())))


@pytest.fixture
def without_type_checks():
    """What a user meets: the tests' type checker would refuse the arguments before the spec can."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("bad", [[RotationGenerator()], RotationGenerator(), (NoAugmentation(),)])
def test_generators_are_a_tuple_of_generators(bad):
    with pytest.raises(
        TypeError, match=r"generators must be a tuple of Lie generators, got generators=.*or AFFINE for all"
    ):
        LearnedAugmentation(bad)


def test_one_generator_of_each_name():
    with pytest.raises(ValueError, match=r"must have different names, got rotation, rotation\. Set name="):
        LearnedAugmentation(ROTATION * 2)


@pytest.mark.parametrize("generators", [(), tuple(generator.without_learning() for generator in AFFINE)])
def test_a_mask_that_learns_nothing(generators):
    with pytest.raises(
        ValueError,
        match=r"must learn at least one half-extent, got .*Use FixedAugmentation, or RandomRotation and the like",
    ):
        LearnedAugmentation(generators)
    LearnedAugmentation((*generators, ScalingGenerator()) if not generators else (*generators[:-1], AFFINE[-1]))


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_impossible_learning_rate(bad):
    with pytest.raises(ValueError, match=r"learning_rate must be positive and finite, got learning_rate="):
        LearnedAugmentation(learning_rate=bad)


@pytest.mark.parametrize(("name", "least"), [("train_copies", 1), ("test_copies", 1), ("reflected", 0)])
def test_impossible_numbers(name, least):
    with pytest.raises(ValueError, match=rf"{name} must be at least {least}, got {name}={least - 1}\. Use {least}"):
        LearnedAugmentation(**{name: least - 1})


def test_one_box_and_it_acts_last():
    with pytest.raises(TypeError, match=r"before must be a fixed augmentation, .*Put all generators into one tuple"):
        LearnedAugmentation(before=LearnedAugmentation())
    with pytest.raises(TypeError, match=r"cannot be part of a Chain\. Write LearnedAugmentation\(before=Chain"):
        Chain((HorizontalFlip(), LearnedAugmentation()))


def test_an_image_is_mirrored_by_less_than_its_size():
    augmentation = LearnedAugmentation(reflected=28)
    with pytest.raises(
        ValueError, match=r"less than the image's size, got reflected=28 for 28 x 28 pixels\. For rotations"
    ):
        augmentation.wrap(nn.Flatten(), Digits())


BOX = (RotationGenerator(start=30.0), ScalingGenerator(start=0.1))


@pytest.mark.parametrize("generators", [BOX, BOX[:1]])
def test_half_extents_stay_whatever_the_optimiser_and_the_regulariser_do(generators):
    """The oracle expects nothing of them, and the curves do not list them."""
    augmentation = FixedAugmentation(generators, EntropyRegulariser(1.0), train_copies=2, test_copies=3)
    trial = Trial(
        ResNet(8, 2),
        Sprites(size=16, train_size=64, test_size=16),
        Classification(),
        augmentation,
        Recipe(2, 32, AdamW(0.01, 0.1)),
        seed=0,
    )
    trainer = Trainer(trial, torch.device("cpu"))
    while not trainer.is_finished:
        trainer.train_epoch()
    starts = torch.tensor([generator.start for generator in generators])
    torch.testing.assert_close(trainer.network.extents, starts, rtol=1e-6, atol=0)
    assert {value.name for value in trainer.curves} == {"loss", "accuracy"}


def test_it_equals_itself_with_generators_that_were_fixed_before():
    fixed = tuple(generator.without_learning() for generator in BOX)
    assert FixedAugmentation(BOX) == FixedAugmentation(fixed)
    with pytest.raises(ValueError, match=r"at least one generator, got none\. Use NoAugmentation"):
        FixedAugmentation(())
