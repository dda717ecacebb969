"""Shifts by fractions of a cell: waves move exactly by Fourier, whole shifts copy, constants stay."""

from math import pi

import pytest
import torch

from equistudy.groups.resampling import fourier_shift, lanczos_shift


def noise(*shape: int) -> torch.Tensor:
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
        maps, half = noise(2, 1, 5, size), torch.tensor(0.5, dtype=torch.float64)
        back = fourier_shift(fourier_shift(maps, half, -1), -half, -1)
        assert ((back - maps).abs().max() < 1e-12) == exact


def test_whole_shifts_copy_cells_and_constants_stay() -> None:
    maps, cells = noise(2, 1, 4, 9), torch.tensor([2.0, -3.0], dtype=torch.float64)
    moved = lanczos_shift(maps, cells, -1)
    assert torch.equal(moved[0, ..., 2:], maps[0, ..., :-2])
    assert torch.equal(moved[1, ..., :-3], maps[1, ..., 3:])
    assert (moved[0, ..., :2] == 0).all()
    constant = lanczos_shift(torch.ones(1, 1, 4, 16), torch.tensor([0.3]), -1)
    torch.testing.assert_close(constant[..., 3:-3], torch.ones(1, 1, 4, 10))
