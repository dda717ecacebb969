"""Warps against torch.rot90, slices and scipy, and the signs of their matrices.

Shifts by fractions of a cell: waves move exactly by Fourier, whole shifts copy, constants stay.
"""

from math import pi

import pytest
import torch
from scipy.ndimage import affine_transform

from equistudy.groups.resampling import fourier_shift, lanczos_shift, rotation_matrices, translation_matrices, warp


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("turns", [0, 1, 2, 3, -1])
@pytest.mark.parametrize("size", [7, 28])
def test_quarter_turns_are_rot90(turns: int, size: int) -> None:
    images = noise(3, 2, size, size)
    warped = warp(images, rotation_matrices(torch.full((3,), 90.0 * turns, dtype=torch.float64)))
    torch.testing.assert_close(warped, torch.rot90(images, turns, dims=(2, 3)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (0, 2), (-2, 1)])
def test_whole_pixel_shifts_move_content_right_and_down(dx: int, dy: int) -> None:
    images = noise(2, 3, 9, 12)
    expected = torch.zeros_like(images)
    expected[..., max(dy, 0) : 9 + min(dy, 0), max(dx, 0) : 12 + min(dx, 0)] = images[
        ..., max(-dy, 0) : 9 - max(dy, 0), max(-dx, 0) : 12 - max(dx, 0)
    ]
    shifts = torch.full((2,), float(dx)), torch.full((2,), float(dy))
    torch.testing.assert_close(warp(images, translation_matrices(*shifts)), expected, rtol=0, atol=1e-12)


def test_any_matrix_agrees_with_scipy_and_each_sample_has_its_own() -> None:
    images = noise(2, 1, 11, 16)
    matrices = torch.tensor([[[0.9, -0.2, 1.3], [0.1, 1.1, -0.7]], [[1.2, 0.3, 0.0], [-0.4, 0.8, 2.5]]]).double()
    warped = warp(images, matrices)
    centre = torch.tensor([5.0, 7.5], dtype=torch.float64)
    for image, matrix, result in zip(images[:, 0], matrices, warped[:, 0], strict=True):
        linear = matrix[:, :2].flip(0, 1)  # scipy's axes are (y, x)
        offset = centre + matrix[:, 2].flip(0) - linear @ centre
        # "grid-constant" blends with zero at the border, as grid_sample does; "constant" cuts there
        expected = affine_transform(image, linear, offset, order=1, mode="grid-constant")
        torch.testing.assert_close(result, torch.from_numpy(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    images = noise(2, 1, 28, 28).to(dtype)
    warped = warp(images, rotation_matrices(torch.tensor([90.0, 180.0])))
    assert warped.dtype == dtype
    expected = torch.cat([torch.rot90(images[:1], 1, dims=(2, 3)), torch.rot90(images[1:], 2, dims=(2, 3))])
    torch.testing.assert_close(warped, expected, rtol=0, atol=2e-5 if dtype != torch.bfloat16 else 2e-2)


def test_gradients_reach_images_and_matrices() -> None:
    images = noise(1, 1, 5, 6).requires_grad_()
    matrices = rotation_matrices(torch.tensor([20.0], dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(warp, (images, matrices))


def draw_maps(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("axis", [-1, -2])
def test_a_wave_moves_by_each_samples_own_fraction(axis: int) -> None:
    cells = torch.tensor([0.3, -1.7], dtype=torch.float64)
    place = torch.arange(12, dtype=torch.float64)

    def wave(shift: torch.Tensor) -> torch.Tensor:
        line = (2 * pi * 2 * (place - shift[:, None]) / 12).sin()[:, None, None]
        return line.expand(2, 3, 12, 12) if axis == -1 else line.transpose(-1, -2).expand(2, 3, 12, 12)

    torch.testing.assert_close(fourier_shift(wave(torch.zeros(2)), cells, axis), wave(cells), rtol=0, atol=1e-12)
    inside = [slice(None)] * 4
    inside[axis] = slice(5, -5)
    lanczos = lanczos_shift(wave(torch.zeros(2)), cells, axis)
    torch.testing.assert_close(lanczos[tuple(inside)], wave(cells)[tuple(inside)], rtol=0, atol=0.02)


def test_odd_sizes_hold_every_fraction_and_even_ones_lose_one_frequency() -> None:
    for size, exact in ((9, True), (8, False)):
        maps, half = draw_maps(2, 1, 5, size), torch.tensor(0.5, dtype=torch.float64)
        back = fourier_shift(fourier_shift(maps, half, -1), -half, -1)
        assert ((back - maps).abs().max() < 1e-12) == exact


def test_whole_shifts_copy_cells_and_constants_stay() -> None:
    maps, cells = draw_maps(2, 1, 4, 9), torch.tensor([2.0, -3.0], dtype=torch.float64)
    moved = lanczos_shift(maps, cells, -1)
    assert torch.equal(moved[0, ..., 2:], maps[0, ..., :-2])
    assert torch.equal(moved[1, ..., :-3], maps[1, ..., 3:])
    assert (moved[0, ..., :2] == 0).all()
    constant = lanczos_shift(torch.ones(1, 1, 4, 16), torch.tensor([0.3]), -1)
    torch.testing.assert_close(constant[..., 3:-3], torch.ones(1, 1, 4, 10))
