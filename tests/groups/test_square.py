"""The symmetries of the square: known by their matrices, exact on images."""

import pytest
import torch

from equistudy.groups.resampling import rotation_matrices, warp
from equistudy.groups.square import Symmetry, apply_symmetry, find_symmetry

ALL = [Symmetry(turns, mirrored) for mirrored in (False, True) for turns in range(4)]


@pytest.mark.parametrize("symmetry", ALL)
def test_a_symmetry_is_known_by_its_matrix_and_moves_pixels_as_the_warp_does(symmetry: Symmetry) -> None:
    matrix = torch.tensor([[*row, 0.0] for row in symmetry.linear], dtype=torch.float64)
    assert find_symmetry(tuple(map(tuple, (matrix + 1e-13).tolist()))) == symmetry
    images = torch.rand(2, 3, 7, 7, dtype=torch.float64)
    expected = warp(images, matrix.expand(2, 2, 3))
    torch.testing.assert_close(apply_symmetry(images, symmetry), expected, rtol=0, atol=1e-12)


def test_a_quarter_turn_is_counter_clockwise_and_follows_the_mirror() -> None:
    images = torch.arange(6.0).view(1, 1, 2, 3)
    assert torch.equal(apply_symmetry(images, Symmetry(1, False)), torch.rot90(images, 1, dims=(2, 3)))
    assert torch.equal(apply_symmetry(images, Symmetry(0, True)), images.flip(3))
    assert torch.equal(apply_symmetry(images, Symmetry(1, True)), torch.rot90(images.flip(3), 1, dims=(2, 3)))


def test_other_matrices_are_no_symmetries() -> None:
    angle = rotation_matrices(torch.tensor([89.999], dtype=torch.float64))[0].tolist()
    assert find_symmetry(tuple(map(tuple, angle))) is None
    assert find_symmetry(((1.0, 0.0, 0.0), (1.0, 1.0, 0.0))) is None
    assert find_symmetry(((1.0, 0.0, 0.5), (0.0, 1.0, 0.0))) is None
    assert find_symmetry(((1.0, 0.0, 2.0), (0.0, 1.0, 0.0))) is None
    assert find_symmetry(((2.0, 0.0, 0.0), (0.0, 1.0, 0.0))) is None
