"""The eight symmetries of the square as the audit sees them: which axes each reverses, and what each is called."""

from collections.abc import Iterable
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor

from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup, Flip, Reflection
from equistudy.groups.square import Symmetry, apply_symmetry

__all__ = [
    "ALL_ELEMENTS",
    "GROUPS_BY_NAME",
    "ElementParameters",
    "element_names",
    "find_preserved_elements",
    "get_group_name",
    "move_image",
    "symmetrise_filters",
]

ElementParameters = tuple[float, float]  # degrees and mirrored, as in `FiniteGroup.rows`

SPRITE_NAMES: dict[ElementParameters, str] = {
    (0.0, 0.0): "identity",
    (90.0, 0.0): "90 deg",
    (180.0, 0.0): "180 deg",
    (270.0, 0.0): "270 deg",
    (0.0, 1.0): "left-right",
    (180.0, 1.0): "top-bottom",
    (90.0, 1.0): "transpose",
    (270.0, 1.0): "anti-transpose",
}
ALL_ELEMENTS = frozenset(SPRITE_NAMES)
GROUPS_BY_NAME: dict[str, FiniteGroup] = {
    "p4m": DihedralGroup(4),
    "p4": CyclicGroup(4),
    "d4": DihedralGroup(4),
    "c4": CyclicGroup(4),
    "d2": DihedralGroup(2),
    "c2": CyclicGroup(2),
    "d1": DihedralGroup(1),
}


def get_group_name(group: FiniteGroup) -> str:
    """The short name of a group: p4m, p4, d2, c2, d1; v1 for the one that only turns images upside down."""
    if group.element_parameters == Reflection(Flip.VERTICAL).element_parameters:
        return "v1"
    return next(name for name, known in GROUPS_BY_NAME.items() if known.element_parameters == group.element_parameters)


def required_symmetries(row: ElementParameters) -> frozenset[str]:
    """What must be symmetric for an element: "h" if it reverses rows, "w" columns, "t" if it exchanges the two."""
    turns, mirrored = round(row[0] / 90) % 4, bool(row[1])
    reversed_axes = (set(), {"w"}, {"h", "w"}, {"h"})[turns] ^ ({"w"} if mirrored else set())
    return frozenset(reversed_axes | ({"t"} if turns % 2 else set()))


def find_preserved_elements(broken: Iterable[str]) -> frozenset[ElementParameters]:
    """The elements that need nothing of what is broken; the identity always."""
    return frozenset(row for row in ALL_ELEMENTS if not required_symmetries(row) & set(broken))


def element_names(rows: Iterable[ElementParameters]) -> tuple[str, ...]:
    """What the elements are called, in a fixed order."""
    found = set(rows)
    return tuple(name for row, name in SPRITE_NAMES.items() if row in found)


def move_image(images: Float[Tensor, "*batch H W"], row: ElementParameters) -> Float[Tensor, "*batch h w"]:
    """The images under an element."""
    return apply_symmetry(images, Symmetry(round(row[0] / 90) % 4, bool(row[1])))


def symmetrise_filters(filters: Float[Tensor, "*batch K L"]) -> Float[Tensor, "*batch K L"]:
    """The filters averaged over the symmetries that their shape has: all eight if square, else the flips."""
    flipped = reduce(lambda kernel, axis: (kernel + kernel.flip(axis)) / 2, (-1, -2), filters)
    square = filters.shape[-1] == filters.shape[-2]
    return torch.add(flipped, flipped.mT).div(2) if square else flipped
