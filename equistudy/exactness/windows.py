"""When the windows of a layer lie symmetrically: arithmetic along one axis, which decides exact equivariance.

A mirror image maps cell i of an axis to n - 1 - i. A layer commutes with it if its windows are mapped to each other.
Rotations follow: a quarter turn is a mirror image and a transposition, and a layer with square windows always commutes
with transposition. Source: Edixhoven, Lengyel and van Gemert 2023, arXiv:2308.11316; derived here for any padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["AxisWindows", "Residue", "compute_chain_residue", "is_resize_exact"]


@dataclass(frozen=True)
class AxisWindows:
    """The windows of a convolution or pooling along an axis of `size` cells, padded by `before` and `after` cells.

    Negative padding crops. Window o begins at cell stride * o - before and spans `extent` cells. With `ceil` a last
    window may stick out, unless it began behind the padding.
    """

    size: int
    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    ceil: bool = False

    @property
    def extent(self) -> int:
        """Cells from the first to the last that a window sees: dilation * (kernel - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def room(self) -> int:
        """How many cells the first window can be shifted: size + before + after - extent."""
        return self.size + self.before + self.after - self.extent

    @property
    def count(self) -> int:
        """How many windows there are."""
        if not self.ceil:
            return self.room // self.stride + 1
        count = -(-self.room // self.stride) + 1
        return count - 1 if (count - 1) * self.stride >= self.size + self.before else count

    @property
    def overhang(self) -> int:
        """How many cells the last window ends after the last cell; as many as `before` if windows are symmetric."""
        return self.stride * (self.count - 1) + self.extent - self.size - self.before

    @property
    def is_exact(self) -> bool:
        """Whether the mirror image of every window is one: stride * (count - 1) = size - extent + 2 before.

        With equal padding on both sides this means that the stride divides the slack: no cell is dropped.
        """
        return self.stride * (self.count - 1) == self.size - self.extent + 2 * self.before

    def is_pooling_exact(self, counts_padding: bool | None = None) -> bool:
        """The same for pooling, which ignores padding: windows clipped to the same cells are the same window.

        `counts_padding` is for an average, whose divisor counts padded cells or does not; None is for a maximum.
        """
        if self.is_exact:
            return True
        seen = [self._visible_cells(window, counts_padding) for window in range(self.count)]
        mirrored = [(sorted(self.size - 1 - cell for cell in cells), divisor) for cells, divisor in reversed(seen)]
        return seen == mirrored

    def _visible_cells(self, window: int, counts_padding: bool | None) -> tuple[list[int], int]:
        """The cells of the axis that a window sees, and what an average divides by."""
        start = self.stride * window - self.before
        cells = range(start, start + self.extent, self.dilation)
        inside = [cell for cell in cells if 0 <= cell < self.size]
        if counts_padding is None:
            return inside, 1
        return inside, min(cells.stop, self.size + self.after) - start if counts_padding else len(inside)


@dataclass(frozen=True)
class Residue:
    """The sizes n with n = remainder (mod modulus)."""

    modulus: int
    remainder: int

    def __contains__(self, size: int) -> bool:
        return size % self.modulus == self.remainder

    def __str__(self) -> str:
        return "any size" if self.modulus == 1 else f"n = {self.remainder} mod {self.modulus}"


def compute_chain_residue(layers: Sequence[AxisWindows]) -> Residue:
    """The sizes at which a chain of layers is exact; the `size` of each layer is ignored.

    A chain is one layer of stride S = s1 s2 ..., extent RF = 1 + sum (K_i - 1) s_1 ... s_(i-1) and padding
    P = sum p_i s_1 ... s_(i-1), which is exact if and only if n = RF - 2 P (mod S).
    """
    stride, extent, padding = 1, 1, 0
    for layer in layers:
        if layer.before != layer.after:
            raise ValueError(
                f"A chain has a residue if each layer pads both sides alike, got before={layer.before} and "
                f"after={layer.after}. Audit the network at single sizes instead."
            )
        extent += (layer.extent - 1) * stride
        padding += layer.before * stride
        stride *= layer.stride
    return Residue(stride, (extent - 2 * padding) % stride)


def is_resize_exact(size: int, resized: int, mode: str, align_corners: bool, factor: float | None = None) -> bool:
    """Whether interpolating `size` cells to `resized` commutes with the mirror image, in torch's modes.

    `factor` is the scale factor by which torch finds the source of a cell, where it does not use resized / size.
    """
    ratio = Fraction(size, resized) if factor is None else 1 / Fraction(factor).limit_denominator(1 << 20)
    if mode in ("nearest", "nearest-exact"):
        half = Fraction(1, 2) if mode == "nearest-exact" else Fraction(0)
        sources = [min(size - 1, int((cell + half) * ratio)) for cell in range(resized)]
        return sources == [size - 1 - source for source in reversed(sources)]
    if align_corners:
        return resized > 1 or size == 1
    return ratio * resized == size
