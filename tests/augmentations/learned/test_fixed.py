"""The baseline: a box whose half-extents stay."""

import pytest
import torch

from equistudy.augmentations.learned.fixed import FixedAugmentation
from equistudy.augmentations.learned.generators import RotationGenerator, ScalingGenerator
from equistudy.augmentations.learned.regulariser import EntropyRegulariser
from equistudy.datasets.sprites import Sprites
from equistudy.models.resnet import ResNet
from equistudy.recipe import AdamW, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.trainer import Trainer

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
