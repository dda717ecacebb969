"""The circular mask: which pixels stay, and that turns do not change them."""

import pytest
import torch

from equistudy.augmentations.disk import InscribedDisk

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
