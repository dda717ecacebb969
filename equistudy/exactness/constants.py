"""Tensors that do not depend on the image, such as position embeddings, and their symmetries."""

from collections.abc import Sequence

import torch
from torch import Tensor

from equistudy.exactness.elements import ALL_ELEMENTS, ElementParameters, required_symmetries
from equistudy.exactness.layout import AxisLetters, TracedLayout

__all__ = ["ConstantMemory", "align_constant", "find_constant_symmetries"]

CLOSE = 1e-6  # relative to the largest number: constants are often rounded to float32


def find_constant_symmetries(constant: Tensor, dims: Sequence[AxisLetters]) -> frozenset[ElementParameters]:
    """The elements that preserve a constant, whose dimensions stand for rows and columns as in `dims`."""
    if not any(letters & {"h", "w"} for letters in dims):
        return ALL_ELEMENTS
    if any(letters >= {"h", "w"} for letters in dims):  # tokens whose order is not known
        return frozenset({(0.0, 0.0)}) if constant.numel() > 1 and _varies(constant) else ALL_ELEMENTS
    return frozenset(row for row in ALL_ELEMENTS if _is_same(constant, _move_constant(constant, dims, row)))


def _varies(constant: Tensor) -> bool:
    first = constant.flatten()[0]
    return not bool((constant == first).all())


def _is_same(one: Tensor, other: Tensor | None) -> bool:
    if other is None or one.shape != other.shape:
        return False
    if not one.is_floating_point() and not one.is_complex():
        return torch.equal(one, other)
    scale = one[one.isfinite()].abs().amax() if bool(one.isfinite().any()) else 0
    return torch.allclose(one, other, rtol=0, atol=float(scale) * CLOSE, equal_nan=True)


def _move_constant(constant: Tensor, dims: Sequence[AxisLetters], row: ElementParameters) -> Tensor | None:
    """The constant under an element; None if rows and columns cannot be exchanged."""
    rows, columns = ([dim for dim, letters in enumerate(dims) if letters & set(letter)] for letter in "hw")
    needs = required_symmetries(row)
    if "t" in needs:
        if len(rows) != len(columns) or any(
            constant.shape[a] != constant.shape[b] for a, b in zip(rows, columns, strict=True)
        ):
            return None
        for a, b in zip(rows, columns, strict=True):
            constant = constant.transpose(a, b)
    flipped = [dim for letter, found in (("h", rows), ("w", columns)) for dim in found if letter in needs]
    return constant.flip(flipped) if flipped else constant


def align_constant(constant: Tensor, layout: TracedLayout, shape: Sequence[int]) -> tuple[Tensor, list[AxisLetters]]:
    """The constant broadcast over the moving dimensions that it meets, with joined dimensions taken apart."""
    constant = constant.reshape((1,) * (len(shape) - constant.ndim) + tuple(constant.shape))
    sizes = [
        total if dim & {"h", "w"} else own for total, dim, own in zip(shape, layout.dims, constant.shape, strict=True)
    ]
    constant = constant.expand(sizes)
    known = layout.factors or ((),) * len(layout.dims)
    split_sizes: list[int] = []
    split_dims: list[AxisLetters] = []
    for size, dim, parts in zip(sizes, layout.dims, known, strict=True):
        whole = parts if dim & {"h", "w"} and parts else ((size, dim),)
        split_sizes += [count for count, _ in whole]
        split_dims += [letters for _, letters in whole]
    return constant.reshape(split_sizes), split_dims


class ConstantMemory:
    """Remembers the symmetries of the constants in each layer, for passes on meta tensors."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], frozenset[ElementParameters]] = {}

    def find_symmetries(
        self, place: tuple[str, str], constant: Tensor, dims: Sequence[AxisLetters]
    ) -> frozenset[ElementParameters] | None:
        """The elements that preserve the constant; None if a pass on meta tensors meets it for the first time.

        `place` is the layer and the function in which it occurs.
        """
        if constant.is_meta:
            return self._found.get(place)
        found = find_constant_symmetries(constant, dims)
        self._found[place] = self._found.get(place, ALL_ELEMENTS) & found
        return found
