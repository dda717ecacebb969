"""The eight symmetries of the square, which take pixels to pixels: quarter turns of the image and of its mirror image.

The element r^k s^m swaps left and right if m is 1, and then makes k quarter turns counter-clockwise.
"""

from typing import NamedTuple

from jaxtyping import Shaped

from equistudy.spec import Tensor

__all__ = ["Matrix", "Symmetry", "apply_symmetry", "find_symmetry"]

Matrix = tuple[tuple[float, float, float], tuple[float, float, float]]

TOLERANCE = 1e-9  # when rounding to whole numbers: float64 sines and exponentials are off by 1e-16


class Symmetry(NamedTuple):
    """r^k s^m: `turns` is k in 0 ... 3, `mirrored` is m."""

    turns: int
    mirrored: bool

    @property
    def linear(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The matrix that takes positions (x, y) of the output to those of the input: s^m r^-k."""
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[self.turns]
        side = -1 if self.mirrored else 1
        return (side * cos, -side * sin), (sin, cos)

    @property
    def is_transposing(self) -> bool:
        """Whether rows become columns."""
        return self.turns % 2 == 1


_BY_MATRIX = {symmetry.linear: symmetry for symmetry in (Symmetry(k, m) for m in (False, True) for k in range(4))}


def find_symmetry(matrix: Matrix) -> Symmetry | None:
    """The symmetry that an output-to-input matrix about the centre represents; None for others or with a shift."""
    rounded = tuple(tuple(round(entry) for entry in row) for row in matrix)
    whole = all(abs(matrix[i][j] - rounded[i][j]) < TOLERANCE for i in range(2) for j in range(3))
    if not whole or any(row[2] for row in rounded):
        return None
    (a, b, _), (c, d, _) = rounded
    return _BY_MATRIX.get(((a, b), (c, d)))


def apply_symmetry(images: Shaped[Tensor, "*batch H W"], symmetry: Symmetry) -> Shaped[Tensor, "*batch h w"]:
    """The images moved by the symmetry, exactly."""
    import torch

    mirrored = images.flip(-1) if symmetry.mirrored else images
    return torch.rot90(mirrored, symmetry.turns, dims=(-2, -1))
