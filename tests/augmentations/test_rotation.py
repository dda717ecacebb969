"""Rotations against scipy, one image at a time, and the distribution of their elements.

The circular mask: which pixels stay, and that turns do not change them.
"""

import math

import pytest
import torch
from scipy import ndimage, stats

from equistudy.augmentations.rotation import InscribedDisk, NormalRotation, RandomRotation


def turned(image, degrees):
    """Bilinear with black outside by scipy, in (y, x) with y down: a counter-clockwise turn reads clockwise."""
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))[0].double().numpy()
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    output_to_input, centre = torch.tensor([[cos, sin], [-sin, cos]]).double(), (torch.tensor(padded.shape) - 1) / 2
    offset = centre.double() - output_to_input @ centre.double()
    return torch.from_numpy(ndimage.affine_transform(padded, output_to_input, offset, order=1))[2:-2, 2:-2]


def test_equals_scipy():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(10, 1, 11, 8, generator=rng)
    augmentation = RandomRotation(180.0)
    elements = augmentation.draw(10, rng)
    results = augmentation.apply(images, elements)
    for image, result, (degrees,) in zip(images, results, elements.tolist(), strict=True):
        torch.testing.assert_close(result[0].double(), turned(image, degrees), atol=2e-5, rtol=0)


def test_quarter_turn_is_counter_clockwise():
    images = torch.rand(2, 3, 6, 6)
    results = RandomRotation(90.0).apply(images, torch.full((2, 1), 90.0))
    torch.testing.assert_close(results, torch.rot90(images, 1, dims=(2, 3)), atol=1e-5, rtol=0)


def test_elements_are_uniform_and_independent():
    elements = RandomRotation(30.0).draw(4000, torch.Generator().manual_seed(0)).double()
    for column in elements.T:
        assert stats.kstest(column, stats.uniform(-30.0, 60.0).cdf).pvalue > 1e-3
        assert stats.pearsonr(column[1:], column[:-1]).pvalue > 1e-3


def test_normal_angles_have_their_mean_and_spread_and_every_image_its_own():
    elements = NormalRotation(45.0, 20.0).draw(4000, torch.Generator().manual_seed(0)).double()[:, 0]
    assert stats.kstest(elements, stats.norm(45.0, 20.0).cdf).pvalue > 1e-3
    assert len(elements.unique()) > 3900
    assert torch.equal(NormalRotation(45.0, 0.0).draw(3, torch.Generator()), torch.full((3, 1), 45.0))


def test_every_distribution_of_angles_turns_images_alike():
    images, elements = torch.rand(3, 1, 9, 9), torch.tensor([[10.0], [-70.0], [135.0]])
    assert torch.equal(NormalRotation().apply(images, elements), RandomRotation().apply(images, elements))


@pytest.mark.parametrize(("mean", "std"), [(math.nan, 1.0), (0.0, -1.0), (0.0, math.inf)])
def test_impossible_normal_distribution(mean, std):
    with pytest.raises(ValueError, match=r"finite mean.*got mean_degrees=.*Use 45 and 20 degrees"):
        NormalRotation(mean, std)


@pytest.mark.parametrize("bad", [-1.0, 180.5, math.nan])
def test_impossible_rotation(bad):
    with pytest.raises(ValueError, match=r"lie in \[0, 180\], got max_degrees=.*Use 180 for every angle"):
        RandomRotation(bad)


NOTHING = torch.empty(2, 0)


@pytest.mark.parametrize("size", [7, 8])
def test_pixels_within_half_a_side_of_the_centre_stay(size):
    images = torch.rand(2, 3, size, size) + 0.1
    masked = InscribedDisk().apply(images, NOTHING)
    for row in range(size):
        for column in range(size):
            place = complex(row, column) - (1 + 1j) * (size - 1) / 2
            expected = images[..., row, column] if abs(place) <= (size - 1) / 2 + 1e-9 else 0 * images[..., 0, 0]
            assert torch.equal(masked[..., row, column], expected)


def test_it_commutes_with_quarter_turns_and_changes_nothing_twice():
    images, mask = torch.rand(2, 1, 9, 9), InscribedDisk()
    once = mask.apply(images, NOTHING)
    assert torch.equal(mask.apply(once, NOTHING), once)
    assert torch.equal(mask.apply(torch.rot90(images, 1, (2, 3)), NOTHING), torch.rot90(once, 1, (2, 3)))


def test_a_rectangle_keeps_the_disk_of_its_central_square():
    images = torch.rand(2, 1, 6, 10) + 0.1
    masked = InscribedDisk().apply(images, NOTHING)
    assert torch.equal(masked[..., 2:8], InscribedDisk().apply(images[..., 2:8], NOTHING))
    assert not masked[..., :2].any()
    assert not masked[..., 8:].any()
