"""How many pixels a cell of a map is: from images of other sizes, and from what timm's networks declare."""

from collections.abc import Callable
from math import lcm

from torch import nn

from equistudy.groups.group import Grid
from equistudy.measuring.layout import Geometry, OutputLayout, Shape, list_fitting_geometries

__all__ = ["CountGained", "check_declaration", "find_declared_reductions", "find_stride"]

REFINEMENTS = 4
IMAGE_MULTIPLES = (1, 2, 3)  # images more in length, so that sizes stay divisible by what the network asks for
MAX_LENGTH = 8192  # pixels of the longest image that tells two strides apart

CountGained = Callable[[int, int, int], tuple[int, int] | None]


def find_stride(height: int, width: int, rows_gained: int, count_gained: CountGained) -> int | str:
    """The stride in pixels per cell, or why it is not a whole number.

    Doubling a small image tells it roughly; no other stride than s gains s + 1 cells from s (s + 1) pixels. Networks
    that divide their maps into windows refuse such sizes or continue them to the next window, which looks like another
    stride: images of several times the size then decide.
    """
    first = max(1, round(height / rows_gained))
    by_cells = _find_stride_of_cells(first, count_gained)
    if by_cells == first or (isinstance(by_cells, int) and height % first):
        return by_cells
    by_images = _find_stride_of_multiples(height, width, first, count_gained)
    if by_images is None or isinstance(by_cells, str):
        return by_images or by_cells
    apart = [lcm(side, by_cells) for side in (height, width)]
    for decided in (by_images, by_cells):
        if max(apart) <= MAX_LENGTH and count_gained(1, apart[0], apart[1]) == tuple(s // decided for s in apart):
            return decided
    return (
        f"images a few cells longer show cells of {by_cells} pixels, images several times as long cells of {by_images}"
    )


def _find_stride_of_cells(stride: int, count_gained: CountGained) -> int | str:
    """The stride that gains as many more cells as it must, from a first guess on, or why there is none."""
    more, gained = 0, None
    for _ in range(REFINEMENTS):
        more = stride * (stride + 1)
        gained = count_gained(more, 1, 1)
        if gained is None:
            return "the network refuses the larger images that would show how many pixels its cells are"
        if gained == (stride + 1, stride + 1):
            return stride
        refined = max(1, round(more / max(1, gained[0])))
        if refined == stride:
            break
        stride = refined
    assert gained is not None
    return (
        "its cells are not squares of a whole number of pixels: "
        f"{more} more pixels give {gained[0]} more rows and {gained[1]} more columns"
    )


def _find_stride_of_multiples(height: int, width: int, stride: int, count_gained: CountGained) -> int | None:
    """This stride, if it divides the image and images of 2, 3 and 4 times the size have as many more cells as it says.

    None where they have not, or where the network refuses them.
    """
    if height % stride or width % stride:
        return None
    for times in IMAGE_MULTIPLES:
        if count_gained(times, height, width) != (times * height // stride, times * width // stride):
            return None
    return stride


def find_declared_reductions(network: nn.Module) -> dict[nn.Module, int]:
    """How many pixels a cell of each feature stage is by what timm's networks declare about themselves."""
    found: dict[nn.Module, int] = {}
    for module in network.modules():
        declared = getattr(module, "feature_info", None)
        entries = getattr(declared, "info", declared)
        if not isinstance(entries, (list, tuple)):
            continue
        paths = dict(module.named_modules())
        for entry in entries:
            path = entry.get("module") if isinstance(entry, dict) else None
            if path in paths and isinstance(entry.get("reduction"), int) and not entry.get("hook_type"):
                found[paths[path]] = entry["reduction"]
    return found


def check_declaration(geometry: Geometry | str, shape: Shape, size: tuple[int, int], reduction: int) -> Geometry | str:
    """A feature stage as probing found it, or by its declared reduction where probing could not read it."""
    if isinstance(geometry, Geometry):
        if geometry.grid is None or geometry.grid.stride == reduction:
            return geometry
        return (
            f"timm declares one cell for every {reduction} pixels and probing finds one for every "
            f"{geometry.grid.stride}, so that neither is believed"
        )
    # without padding, patches that overlap leave one cell less at the border
    grids = [
        Grid(-(-size[0] // reduction) - fewer, -(-size[1] // reduction) - fewer, reduction, *size) for fewer in (0, 1)
    ]
    fitting = [
        each
        for each in list_fitting_geometries(shape, size, [Geometry(OutputLayout.NCHW, 1, grid) for grid in grids])
        if each.grid in grids
    ]
    return fitting[0] if len(fitting) == 1 else geometry
