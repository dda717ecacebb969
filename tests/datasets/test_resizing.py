"""Resizing against torch's bilinear filter, and its exact symmetries."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from equistudy.datasets.resizing import resize_square

SIZES = ((28, 14), (28, 13), (28, 15), (28, 27), (28, 29), (32, 33), (96, 97), (64, 7), (5, 64), (1, 3))


def noise(before: int, maximum: int = 255) -> np.ndarray:
    return np.random.default_rng(before).integers(0, maximum + 1, (3, 2, before, before))


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_it_is_the_antialiased_bilinear_filter_rounded_once(before, after):
    images = noise(before)
    reference = interpolate(torch.tensor(images).double(), size=after, mode="bilinear", antialias=True)
    assert np.abs(resize_square(images, after) - reference.numpy()).max() <= 0.5 + 1e-9


@settings(deadline=None)
@given(st.integers(1, 24), st.integers(1, 24))
def test_it_commutes_with_every_symmetry_of_the_square(before, after):
    images = noise(before)
    small = resize_square(images, after)
    for turns in range(4):
        assert np.array_equal(np.rot90(small, turns, (2, 3)), resize_square(np.rot90(images, turns, (2, 3)), after))
    assert np.array_equal(small[..., ::-1], resize_square(images[..., ::-1], after))


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_one_grey_stays_that_grey(before, after):
    assert np.all(resize_square(np.full((1, before, before), 77), after) == 77)


def test_another_maximum_is_scaled_before_the_only_rounding():
    images = noise(8, 16)
    exact = interpolate(torch.tensor(images).double() * 255 / 16, size=12, mode="bilinear").numpy()
    assert np.array_equal(resize_square(images, 12, maximum=16), np.floor(exact + 0.5 + 1e-9).astype(np.uint8))


def test_many_images_are_those_of_each_alone():
    images = np.random.default_rng(0).integers(0, 256, (5000, 4, 4), dtype=np.uint8)
    together = resize_square(images, 5)
    assert all(np.array_equal(together[i], resize_square(images[i], 5)) for i in (0, 2047, 2048, 4999))
