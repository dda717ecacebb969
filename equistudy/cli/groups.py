"""Groups from the words of a command line, such as translation:1,32 or rotation:90."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from equistudy.groups.finite import DihedralGroup, Reflection
from equistudy.groups.group import Group
from equistudy.groups.one_parameter import Rotation, Scaling, Shear
from equistudy.groups.subpixel import SubpixelTranslation
from equistudy.groups.translation import Border, Translation
from equistudy.study.design import suggest_names

__all__ = ["Room", "parse_groups"]

MAX_SHIFT = 32  # pixels: whole cells of all stages of most networks
MAX_SHARE = 8  # the largest shift that nobody asked for is at most an eighth of the image
GROUP_NAMES = ("translation", "circular-translation", "rotation", "scaling", "shear", "dihedral", "reflection")


class Room(NamedTuple):
    """The side of the network's window, and by how many pixels the images are larger; None where it is not known."""

    window: int | None = None
    pixels: int | None = None


def parse_groups(
    names: Sequence[str], room: Room, border: Border | None = None, tell: Callable[[str], None] = lambda line: None
) -> tuple[Group, ...]:
    """The groups by name and sizes: exactly those sizes are measured, and A-B stands for all whole numbers from A to B.

    Without names: shifts by 1 pixel and by the largest power of 2 within an eighth of the image and the room (32 at
    most), and quarter turns. `border` is what enters at the border of shifted images; without it, what the image shows
    there if there is room for the largest shift, otherwise black, or for fractions of a pixel what left on the other
    side. `tell` gets what was chosen.
    """
    if names:
        return tuple(_parse_group(name, room, border, tell) for name in names)
    within = (room.window or MAX_SHIFT * MAX_SHARE) // MAX_SHARE
    if border in (None, Border.WINDOW) and room.pixels:
        within = min(within, room.pixels)
    shift = min(MAX_SHIFT, 2 ** max(0, within.bit_length() - 1))
    tell(f"shifts are measured by 1 and {shift} pixels (at most an eighth of the image); --group sets others")
    shifts = tuple(dict.fromkeys((1, shift)))
    return Translation(shift, _choose_border(room, border, shift, tell), shifts), Rotation()


def _parse_group(text: str, room: Room, border: Border | None, tell: Callable[[str], None]) -> Group:
    name, _, listed = text.partition(":")
    sizes = _parse_sizes(text, name, listed)
    if name in ("translation", "circular-translation"):
        whole = all(size.is_integer() for size in sizes)
        largest = max(map(abs, sizes), default=4)
        if name.startswith("circular"):
            border = Border.CIRCULAR
        chosen = _choose_border(room, border, largest, tell, Border.ZERO if whole else Border.CIRCULAR)
        if not whole:
            return SubpixelTranslation(sizes, chosen)
        shifts = tuple(int(size) for size in sizes)
        # the same measure as that of a study, whatever way it was written
        every = not shifts or shifts == tuple(range(1, len(shifts) + 1))
        return Translation(max(1, int(largest)) if shifts != (0,) else 0, chosen, None if every else shifts)
    if name == "rotation":
        return Rotation(sizes) if sizes else Rotation()
    if name == "scaling":
        return Scaling(sizes) if sizes else Scaling()
    if name == "shear":
        return Shear(sizes) if sizes else Shear()
    if name in GROUP_NAMES and not sizes:
        return DihedralGroup() if name == "dihedral" else Reflection()
    near = suggest_names(name, GROUP_NAMES)
    raise ValueError(f"--group must be one of {', '.join(GROUP_NAMES)}, got {text!r}. {near}")


def _parse_sizes(text: str, name: str, listed: str) -> tuple[float, ...]:
    sizes: list[float] = []
    try:
        for part in listed.split(",") if listed else ():
            span = re.fullmatch(r"(\d{1,4})-(\d{1,4})", part)
            if span and int(span[1]) > int(span[2]):
                raise ValueError("the sizes run backwards")
            sizes += map(float, range(int(span[1]), int(span[2]) + 1)) if span else [float(part)]
    except ValueError as error:
        raise ValueError(
            f"--group must be NAME:SIZE,SIZE with numeric sizes, or NAME:FROM-TO, got {text!r}. Try {name}:4."
        ) from error
    return tuple(sizes)


def _choose_border(
    room: Room,
    border: Border | None,
    largest: float,
    tell: Callable[[str], None],
    without_room: Border = Border.ZERO,
) -> Border:
    """What enters at the border: what was asked for, or what the room allows."""
    if border is not None:
        return border
    if room.pixels is None or largest <= room.pixels:
        return Border.WINDOW
    enters = "black" if without_room is Border.ZERO else "what left on the other side"
    tell(
        f"images have {room.pixels} pixels of room around the input, so {enters} enters when they shift by "
        f"{largest:g}; --room and --border set others"
    )
    return without_room
