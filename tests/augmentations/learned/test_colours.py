"""Generators of colours: what each leaves alone, and what it does to colours that are known."""

import math

import pytest
import torch

from equistudy.augmentations.colour import LUMA
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.colours import (
    COLOUR,
    BrightnessGenerator,
    ContrastGenerator,
    HueGenerator,
    SaturationGenerator,
)
from equistudy.augmentations.learned.generators import RotationGenerator
from equistudy.datasets.cifar import CIFAR10
from equistudy.datasets.digits import Digits
from equistudy.models.model import Preprocessing
from equistudy.networks.choices import Aggregate
from equistudy.training.preparation import normalise_images

CIFAR = Preprocessing(CIFAR10.mean, CIFAR10.std)
WEIGHTS = torch.tensor(LUMA, dtype=torch.float64) / sum(LUMA)
COLOURS = torch.rand(100, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def mapped(generator, amount, colours=COLOURS):
    matrix = torch.linalg.matrix_exp(amount * generator.rate * torch.tensor(generator.rows, dtype=torch.float64))
    return colours @ matrix[:3, :3].T + matrix[:3, 3]


def test_hue_turns_colours_and_keeps_luma_and_greys():
    turned = mapped(HueGenerator(), 90.0)
    torch.testing.assert_close(turned @ WEIGHTS, COLOURS @ WEIGHTS)
    greys = COLOURS[:, :1].expand(-1, 3)
    torch.testing.assert_close(mapped(HueGenerator(), 77.0, greys), greys)
    torch.testing.assert_close(mapped(HueGenerator(), 360.0), COLOURS)
    # a third of the turn takes red's hue to green's
    red, green = torch.eye(3, dtype=torch.float64)[:2]
    chroma = [colour - colour.mean() for colour in (mapped(HueGenerator(), 120.0, red[None])[0], green)]
    assert torch.nn.functional.cosine_similarity(*chroma, dim=0) > 1 - 1e-9


def test_saturation_moves_away_from_grey():
    doubled = mapped(SaturationGenerator(), math.log(2))
    luma = (COLOURS @ WEIGHTS)[:, None]
    torch.testing.assert_close(doubled, luma + 2 * (COLOURS - luma))


def test_brightness_and_contrast():
    torch.testing.assert_close(mapped(BrightnessGenerator(), 0.2), COLOURS + 0.2)
    torch.testing.assert_close(mapped(ContrastGenerator(), math.log(3)), 0.5 + 3 * (COLOURS - 0.5))


@pytest.mark.parametrize("bad", [None, 190.0])
def test_a_hue_ends_at_its_period(bad):
    with pytest.raises(
        ValueError, match=r"The cap of a hue must be at most its period, 180 degrees to each side, got cap=.*Use 180"
    ):
        HueGenerator(cap=bad)


def test_images_change_in_their_colours_and_are_cut_off():
    network = LearnedAugmentation((BrightnessGenerator(start=0.5),)).wrap(torch.nn.Flatten(), CIFAR10()).train()
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    units = torch.tensor([[1.0], [-1.0], [0.0], [0.5]])
    expected = (images + 0.5 * units[..., None, None]).clamp(0, 1)
    found = network(normalise_images(images, CIFAR), units)
    torch.testing.assert_close(found, normalise_images(expected, CIFAR).flatten(1), atol=1e-4, rtol=0)


def test_colours_and_positions_are_learned_together():
    augmentation = LearnedAugmentation((*COLOUR, RotationGenerator()), aggregate=Aggregate.LOGIT)
    network = augmentation.wrap(torch.nn.Flatten(), CIFAR10()).train()
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    (network(normalise_images(images, CIFAR), augmentation.draw(4, rng)) ** 2).sum().backward()
    assert (network.box.raw.grad != 0).all()
    assert network.eval()(normalise_images(images, CIFAR)).shape == (4, 192)


def test_grey_images_have_no_colours():
    with pytest.raises(ValueError, match=r"need three channels, got 1 in Digits with hue, saturation, .*Leave"):
        LearnedAugmentation(COLOUR).wrap(torch.nn.Flatten(), Digits())
