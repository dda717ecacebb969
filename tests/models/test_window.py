"""Squares of a given size with and without room around them."""

import re

import pytest

from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.models.window import Window
from equistudy.spec import to_canonical_json


@pytest.mark.parametrize(("pixels", "image"), [(224, 256), (225, 259), (32, 38), (8, 10)])
def test_images_are_an_eighth_larger(pixels: int, image: int) -> None:
    model, digits = Window(ResNet(8, 2), pixels), Digits()
    found = model.preprocessing(digits)
    assert (found.window, found.image_size) == (pixels, image)
    assert (found.mean, found.std) == (digits.mean, digits.std)
    assert found.input_shape(digits.image_shape) == (1, pixels, pixels)
    assert model.has_own_preprocessing
    assert model.untrained == model


def test_images_of_a_given_size_normalised_by_given_numbers() -> None:
    leaves = DeadLeaves()
    model = Window(ResNet(8, 2), 32, image_size=32, mean=(0.5,), std=(0.1, 0.2, 0.3))
    assert model.preprocessing(leaves) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3), 32, 32)
    assert Window(ResNet(8, 2), 32, std=(1.0,)).preprocessing(leaves) == (leaves.mean, (1.0,) * 3, 38, 32)
    with pytest.raises(ValueError, match=r"one number per channel, or one for all, got 2 for 3 channels"):
        Window(ResNet(8, 2), 32, mean=(0.5, 0.5)).preprocessing(leaves)


def test_results_from_before_these_fields_keep_their_trials() -> None:
    assert to_canonical_json(Window(ResNet(8, 2), 32)).endswith('"pixels":32,"revision":1,"spec":"Window"}')
    assert to_canonical_json(Window(ResNet(8, 2), 32, image_size=32)) != to_canonical_json(Window(ResNet(8, 2), 32))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pixels": 7}, "Window.pixels must be at least 8, got pixels=7"),
        ({"image_size": 31}, "at least as large as the window, got image_size=31 for pixels=32. Use image_size=32 to"),
        (
            {"mean": (0.5, 127.5)},
            "must lie in [0, 1], as images do, got mean=(0.5, 127.5). Divide values from 0 to 255 by 255",
        ),
        ({"std": (0.0,)}, "must lie in (0, 1], for images in [0, 1], got std=(0.0,). Divide"),
    ],
)
def test_what_no_window_is(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Window(ResNet(8, 2), **{"pixels": 32, **fields})
