"""How images and feature maps move along a generator: exp(t A), differentiable in t by forward mode."""

from math import pi
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.groups.group import Grid

__all__ = ["Flow", "Matrix"]

Row = tuple[float, float, float]
Matrix = tuple[Row, Row, Row]


class Flow(NamedTuple):
    """Content at (x, y) pixels from the centre moves along A (x, y, 1) as t grows from 0.

    `circular` shifts along the axes by phases of the Fourier transform: exact for what pixels can hold, and what leaves
    returns on the other side. All else is bilinear, with the border continued; at t = 0 its derivative is that of
    lie-deriv, the difference to the next pixel.
    """

    label: str
    generator: Matrix
    circular: bool

    def act(self, maps: Float[Tensor, "B C H W"], t: Float[Tensor, ""], grid: Grid) -> Float[Tensor, "B C H W"]:
        """The maps on a grid over the image, moved by exp(t A). Differentiable in maps and t, in forward mode too."""
        if not self.circular:
            return _bilinear(maps, _positions(maps, self.generator, t, grid))
        for axis, row in ((-1, 0), (-2, 1)):
            if self.generator[row][2]:
                maps = _shifted(maps, t * self.generator[row][2] / grid.stride, axis)
        return maps


def _shifted(maps: Float[Tensor, "B C H W"], cells: Float[Tensor, ""], axis: int) -> Float[Tensor, "B C H W"]:
    """The maps shifted in a circle by any number of cells, by the phase of each frequency."""
    size = maps.shape[axis]
    angles = torch.fft.rfftfreq(size, device=maps.device, dtype=maps.dtype) * (-2 * pi * cells)
    phases = torch.complex(angles.cos(), angles.sin())
    spectrum = torch.fft.rfft(maps, dim=axis)
    return torch.fft.irfft(spectrum * (phases if axis == -1 else phases[:, None]), n=size, dim=axis)


def _positions(
    maps: Float[Tensor, "B C H W"], generator: Matrix, t: Float[Tensor, ""], grid: Grid
) -> tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]]:
    """Row and column, in cells, from which each cell of the moved maps takes its content: exp(-t A) of its own."""
    height, width = maps.shape[-2:]
    row, column = grid.centre or ((height - 1) / 2, (width - 1) / 2)  # for shifts any centre is the same
    y = (torch.arange(height, device=maps.device, dtype=maps.dtype) - row)[:, None].expand(height, width)
    x = (torch.arange(width, device=maps.device, dtype=maps.dtype) - column).expand(height, width)
    back = torch.linalg.matrix_exp(-t * torch.tensor(generator, device=maps.device, dtype=maps.dtype))
    (a, b, right), (c, d, down) = (back[index].unbind() for index in (0, 1))
    # What is added to x and y is exactly 0 at t = 0, so that a cell's own position is not rounded off its place.
    from_x = (a - 1) * x + b * y + right / grid.stride
    from_y = c * x + (d - 1) * y + down / grid.stride
    return y + row + from_y, x + column + from_x


def _bilinear(
    maps: Float[Tensor, "B C H W"], positions: tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]]
) -> Float[Tensor, "B C H W"]:
    """The maps at fractional rows and columns. `grid_sample` has no forward derivative in torch 2.13."""
    (height, width), values = maps.shape[-2:], maps.flatten(-2)
    (top, below), (left, beyond) = ((where.floor(), where - where.floor()) for where in positions)
    rows = [(top + step).long().clamp(0, height - 1) for step in (0, 1)]
    columns = [(left + step).long().clamp(0, width - 1) for step in (0, 1)]
    corners = [[values[..., row * width + column] for column in columns] for row in rows]
    upper, lower = (near * (1 - beyond) + far * beyond for near, far in corners)
    return upper * (1 - below) + lower * below
