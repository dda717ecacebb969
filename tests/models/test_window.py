"""Squares of a given size with room around them."""

import pytest

from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.models.window import Window


@pytest.mark.parametrize(("pixels", "image"), [(224, 256), (225, 259), (32, 38), (8, 10)])
def test_images_are_an_eighth_larger(pixels: int, image: int) -> None:
    model, digits = Window(ResNet(8, 2), pixels), Digits()
    found = model.preprocessing(digits)
    assert (found.window, found.image_size) == (pixels, image)
    assert (found.mean, found.std) == (digits.mean, digits.std)
    assert found.input_shape(digits.image_shape) == (1, pixels, pixels)
    assert model.has_own_preprocessing
    assert model.untrained == model


def test_the_smallest_window() -> None:
    with pytest.raises(ValueError, match="at least 8 pixels along each side, got pixels=7"):
        Window(ResNet(8, 2), 7)
