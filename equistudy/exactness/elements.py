"""The eight symmetries of the square: which axes each reverses, and their names."""

from collections.abc import Iterable
from functools import lru_cache

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from equistudy.groups.finite import CyclicGroup, DihedralGroup, FiniteGroup, Flip, Reflection
from equistudy.groups.square import Symmetry, apply_symmetry

__all__ = [
    "ALL_ELEMENTS",
    "GROUPS_BY_NAME",
    "ElementParameters",
    "element_names",
    "find_commuting_elements",
    "find_preserved_elements",
    "find_side_symmetries",
    "get_generators",
    "get_group_name",
    "identify_element",
    "move_filters",
    "move_image",
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
    """The elements that are preserved if these symmetries are broken; always includes the identity."""
    return frozenset(row for row in ALL_ELEMENTS if not required_symmetries(row) & set(broken))


def element_names(rows: Iterable[ElementParameters]) -> tuple[str, ...]:
    """The names of the elements, in a fixed order."""
    found = set(rows)
    return tuple(name for row, name in SPRITE_NAMES.items() if row in found)


def move_image(images: Shaped[Tensor, "*batch H W"], row: ElementParameters) -> Shaped[Tensor, "*batch h w"]:
    """The images under an element."""
    return apply_symmetry(images, Symmetry(round(row[0] / 90) % 4, bool(row[1])))


def move_filters(filters: Shaped[Tensor, "*batch K L"], row: ElementParameters) -> Shaped[Tensor, "*batch K L"]:
    """The filters under an element; a filter that is not square keeps its shape, so it only follows the flips."""
    if filters.shape[-1] == filters.shape[-2]:
        return move_image(filters, row)
    flipped = [axis for letter, axis in (("h", -2), ("w", -1)) if letter in required_symmetries(row)]
    return filters.flip(flipped)


@lru_cache
def get_generators(group: FiniteGroup) -> tuple[ElementParameters, ...]:
    """Generators of the group: a network that commutes with them commutes with the group."""
    chosen: list[ElementParameters] = []
    reached = {(0.0, 0.0)}
    for row in group.element_parameters:
        if row not in reached:
            chosen.append(row)
            reached = _generate(chosen)
    return tuple(chosen)


def _generate(rows: Iterable[ElementParameters]) -> set[ElementParameters]:
    reached: set[ElementParameters] = {(0.0, 0.0)}
    while True:
        products = {_multiply(first, second) for first in rows for second in reached} | reached
        if products == reached:
            return reached
        reached = products


def _multiply(first: ElementParameters, second: ElementParameters) -> ElementParameters:
    return identify_element(move_image(move_image(_PROBE, second), first))


_PROBE = torch.arange(9).view(3, 3)


def identify_element(probe: Int64[Tensor, "3 3"]) -> ElementParameters:
    """The element that maps the numbers 0 to 8 in reading order to this array."""
    return next(row for row in SPRITE_NAMES if torch.equal(move_image(_PROBE, row), probe))


def find_side_symmetries(
    rows: tuple[tuple[int, int], tuple[int, int]], columns: tuple[tuple[int, int], tuple[int, int]]
) -> frozenset[ElementParameters]:
    """The elements that preserve a frame, given by two numbers per side: before and after rows and columns."""
    probe = torch.zeros(2, 3, 3, dtype=torch.int64)
    for place, side in zip(((0, 1), (2, 1), (1, 0), (1, 2)), (*rows, *columns), strict=True):
        probe[:, place[0], place[1]] = torch.tensor(side)
    return frozenset(row for row in ALL_ELEMENTS if torch.equal(move_image(probe, row), probe))


@lru_cache
def find_commuting_elements(flipped: frozenset[str], transposed: bool) -> frozenset[ElementParameters]:
    """The elements that commute with reversing rows ("h") or columns ("w"), and with then exchanging the two."""
    probe = _PROBE.flip([axis for letter, axis in (("h", 0), ("w", 1)) if letter in flipped])
    own = identify_element(probe.mT if transposed else probe)
    return frozenset(row for row in ALL_ELEMENTS if _multiply(row, own) == _multiply(own, row))
