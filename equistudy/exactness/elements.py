"""The eight symmetries of the square as the audit sees them: which axes each reverses, and what each is called."""

from collections.abc import Iterable
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup, Flip, Reflection
from equistudy.groups.square import Symmetry, moved

__all__ = ["ALL", "GROUPS", "Row", "group_name", "moved_image", "names_of", "surviving", "symmetric"]

Row = tuple[float, float]  # degrees and mirrored, as in `FiniteGroup.rows`

NAMES: dict[Row, str] = {
    (0.0, 0.0): "identity",
    (90.0, 0.0): "90 deg",
    (180.0, 0.0): "180 deg",
    (270.0, 0.0): "270 deg",
    (0.0, 1.0): "left-right",
    (180.0, 1.0): "top-bottom",
    (90.0, 1.0): "transpose",
    (270.0, 1.0): "anti-transpose",
}
ALL = frozenset(NAMES)
GROUPS: dict[str, FiniteGroup] = {
    "p4m": DihedralGroup(4),
    "p4": CyclicGroup(4),
    "d4": DihedralGroup(4),
    "c4": CyclicGroup(4),
    "d2": DihedralGroup(2),
    "c2": CyclicGroup(2),
    "d1": DihedralGroup(1),
}


def group_name(group: FiniteGroup) -> str:
    """The short name of a group: p4m, p4, d2, c2, d1; v1 for the one that only turns images upside down."""
    if group.rows == Reflection(Flip.VERTICAL).rows:
        return "v1"
    return next(name for name, known in GROUPS.items() if known.rows == group.rows)


def needs(row: Row) -> frozenset[str]:
    """What must be symmetric for an element: "h" if it reverses rows, "w" columns, "t" if it exchanges the two."""
    turns, mirrored = round(row[0] / 90) % 4, bool(row[1])
    reversed_axes = (set(), {"w"}, {"h", "w"}, {"h"})[turns] ^ ({"w"} if mirrored else set())
    return frozenset(reversed_axes | ({"t"} if turns % 2 else set()))


def surviving(broken: Iterable[str]) -> frozenset[Row]:
    """The elements that need nothing of what is broken; the identity always."""
    return frozenset(row for row in ALL if not needs(row) & set(broken))


def names_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """What the elements are called, in a fixed order."""
    found = set(rows)
    return tuple(name for row, name in NAMES.items() if row in found)


def moved_image(images: Float[Tensor, "*batch H W"], row: Row) -> Float[Tensor, "*batch h w"]:
    """The images under an element."""
    return moved(images, Symmetry(round(row[0] / 90) % 4, bool(row[1])))


def symmetric(filters: Float[Tensor, "*batch K L"]) -> Float[Tensor, "*batch K L"]:
    """The filters averaged over the symmetries that their shape has: all eight if square, else the flips."""
    flipped = reduce(lambda kernel, axis: (kernel + kernel.flip(axis)) / 2, (-1, -2), filters)
    square = filters.shape[-1] == filters.shape[-2]
    return torch.add(flipped, flipped.mT).div(2) if square else flipped
