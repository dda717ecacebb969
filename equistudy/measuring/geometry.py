"""How each stage's output lies over the image: probed with images of other sizes, never assumed.

A chain of convolutions gives exactly one more cell for each `stride` more pixels. So images that are longer, and images
that are wider, tell which axes of an output are rows and columns, and how many pixels a cell is. `offsets` finds where
the cells lie. A network that takes one size only is read by the ratio of the sizes, and then must answer a disturbed
pixel in the cell that holds it, or keep the shape of a stage before it that does.
"""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.groups.group import Grid
from equistudy.measuring.layout import Geometry, OutputLayout
from equistudy.measuring.nan_tracer import NanTracer
from equistudy.measuring.offsets import REFUSAL_ERRORS, locate_cells
from equistudy.measuring.stages import StopForwardPass, observe_outputs

__all__ = ["Geometry", "OutputLayout", "probe_geometries"]

MAX_PREFIX = 8  # class, distillation and register tokens in front of the grid
REFINEMENTS = 4
POINTS_PER_AXIS = 3  # disturbed pixels along each axis
MIN_HITS = 5  # of the nine, where chance alone gives one in as many as there are cells


Shape = tuple[int, ...]


def probe_geometries(
    network: nn.Module, modules: Mapping[str, nn.Module], images: Float[Tensor, "B C H W"], offsets: bool = True
) -> dict[str, Geometry | str]:
    """The geometry of each stage for images of this size, or the reason why it has none that is understood.

    Without `offsets` the grids have none, which is all that shifts need, and takes fewer passes.
    """
    height, width = images.shape[-2:]
    prober = _Prober(network, modules, images)
    base = prober.find_shapes(0, 0)
    if prober.refusal is not None:
        raise ValueError(
            f"The network must take the images to compare, got {height} x {width} pixels: {prober.refusal}. "
            "Windows are smaller than the images where the background is unknown; Border.CIRCULAR keeps the size."
        ) from prober.refusal
    longer, wider = prober.find_shapes(height, 0), prober.find_shapes(0, width)
    found: dict[str, Geometry | str] = {}
    for name in modules:
        shape = base.get(name, "its module does not run in the forward pass")
        if isinstance(shape, str):
            found[name] = shape
        elif len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
            found[name] = Geometry(OutputLayout.VECTOR, shape[1])
        elif name in longer and name in wider:
            found[name] = _geometry_from_growth(prober, name, shape, longer[name], wider[name])
        else:
            found[name] = _fit_geometry(
                prober, name, shape, [known for known in found.values() if isinstance(known, Geometry)]
            )
    return locate_cells(network, modules, images, found) if offsets else found


class _Prober:
    """Runs the network on images of several sizes and remembers the shapes of its stages."""

    def __init__(self, network: nn.Module, modules: Mapping[str, nn.Module], images: Float[Tensor, "B C H W"]) -> None:
        self.network, self.modules, self.images = network, modules, images[:2]
        self.refusal: Exception | None = None
        self._seen: dict[tuple[int, int], dict[str, Shape | str]] = {}
        self.responses: dict[str, Tensor] | None = None

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.images.shape[-2:]
        return height, width

    def find_shapes(self, rows: int, columns: int) -> dict[str, Shape | str]:
        """The shape of each stage's output for images with more rows and columns, or what else the output is.

        Of larger images, only maps and tokens are asked for, and those that ran before the network refused such images
        are there.
        """
        if (rows, columns) not in self._seen:
            self._seen[rows, columns] = self._run_for_shapes(rows, columns)
        return self._seen[rows, columns]

    def _run_for_shapes(self, rows: int, columns: int) -> dict[str, Shape | str]:
        shapes: dict[str, Shape | str] = {}
        larger = bool(rows or columns)
        watched = self.modules
        if larger:
            base = self.find_shapes(0, 0)
            watched = {name: module for name, module in self.modules.items() if isinstance(base.get(name), tuple)}
            watched = {name: module for name, module in watched.items() if len(base[name]) > 2}

        def look(name: str, output: Any) -> None:
            if name in shapes:
                shapes[name] = "its module runs more than once in a forward pass"
            elif not isinstance(output, Tensor):
                shapes[name] = f"its output is a {type(output).__name__}, not a tensor"
            elif not larger and output.shape[:1] != (len(self.images),):
                shapes[name] = f"its output of shape {list(output.shape)} does not have one entry for each image"
            else:
                shapes[name] = tuple(output.shape)
            if larger and len(shapes) == len(watched):
                raise StopForwardPass

        images = nn.functional.pad(self.images[: 1 if larger else 2], (0, columns, 0, rows))
        with observe_outputs(watched, look), NanTracer() if larger else nullcontext(), suppress(StopForwardPass):
            try:
                self.network(images)
            except REFUSAL_ERRORS as refusal:
                if not larger:
                    self.refusal = refusal
        return shapes

    def disturb_pixels(self) -> dict[str, Tensor]:
        """The outputs for an image and for copies with one disturbed pixel each, of every stage."""
        if self.responses is None:
            responses: dict[str, Tensor] = {}
            image = self.images[:1]
            copies = [image]
            for row, column in _probe_points(self.size):
                copy = image.clone()
                copy[..., row, column] += image.std() + 1
                copies.append(copy)
            with observe_outputs(self.modules, lambda name, output: responses.update({name: output})):
                self.network(torch.cat(copies))
            self.responses = responses
        return self.responses


def _geometry_from_growth(
    prober: _Prober, name: str, shape: Shape, longer: Shape | str, wider: Shape | str
) -> Geometry | str:
    """The geometry that growing images show."""
    if isinstance(longer, str) or isinstance(wider, str):
        return "its output changes its type with the size of the image"
    axes = [
        [axis for axis, size in enumerate(larger) if axis and size != shape[axis]]
        for larger in (longer, wider)
        if len(larger) == len(shape)
    ]
    if len(shape) == 4 and axes == [[2], [3]]:
        return _map_geometry(prober, name, OutputLayout.NCHW, shape, longer[2] - shape[2])
    if len(shape) == 4 and axes == [[1], [2]]:
        return _map_geometry(prober, name, OutputLayout.NHWC, shape, longer[1] - shape[1])
    if len(shape) == 3 and axes == [[1], [1]]:
        cells = longer[1] - shape[1]
        grids = [
            grid for grid in _tiling_grids(prober.size) if grid.height * grid.width == cells == wider[1] - shape[1]
        ]
        if len(grids) == 1 and 0 <= shape[1] - cells <= MAX_PREFIX:
            return Geometry(OutputLayout.TOKENS, shape[2], grids[0], shape[1] - cells)
    return f"its output of shape {list(shape)} does not grow with the image as a map or as tokens do"


def _map_geometry(prober: _Prober, name: str, layout: OutputLayout, shape: Shape, rows_gained: int) -> Geometry | str:
    """The grid of a map that has more rows by this number on an image twice as long."""
    rows, columns, channels = (2, 3, 1) if layout is OutputLayout.NCHW else (1, 2, 3)
    stride = max(1, round(prober.size[0] / rows_gained))
    for _ in range(REFINEMENTS):
        # Doubling a small image tells the stride roughly; no other stride gains as many cells from s (s + 1) pixels.
        more = stride * (stride + 1)
        longer, wider = prober.find_shapes(more, 0).get(name), prober.find_shapes(0, more).get(name)
        if not isinstance(longer, tuple) or not isinstance(wider, tuple):
            return "its output changes its type with the size of the image"
        gained = longer[rows] - shape[rows], wider[columns] - shape[columns]
        if gained == (stride + 1, stride + 1):
            return Geometry(layout, shape[channels], Grid(shape[rows], shape[columns], stride, *prober.size))
        refined = max(1, round(more / max(1, gained[0])))
        if refined == stride:
            break
        stride = refined
    return (
        "its cells are not squares of a whole number of pixels: "
        f"{more} more pixels give {gained[0]} more rows and {gained[1]} more columns"
    )


def _fit_geometry(prober: _Prober, name: str, shape: Shape, before: list[Geometry]) -> Geometry | str:
    """The one geometry that fits the sizes, confirmed by disturbed pixels, for networks that take one size only.

    Layers that mix all tokens may answer elsewhere: what can only be read as a stage before it was, is read so.
    """
    fitting = []
    for grid in _tiling_grids(prober.size):
        cells = (grid.height, grid.width)
        if len(shape) == 4 and shape[2:] == cells:
            fitting.append(Geometry(OutputLayout.NCHW, shape[1], grid))
        if len(shape) == 4 and shape[1:3] == cells:
            fitting.append(Geometry(OutputLayout.NHWC, shape[3], grid))
        prefix = shape[1] - grid.height * grid.width
        if len(shape) == 3 and 0 <= prefix <= MAX_PREFIX and grid.height * grid.width > MAX_PREFIX:
            fitting.append(Geometry(OutputLayout.TOKENS, shape[2], grid, prefix))
    responses = prober.disturb_pixels()[name]
    if responses.shape[1:] != shape[1:]:
        return f"its output changes its shape from one call to the next: {list(responses.shape)} after {list(shape)}"
    confirmed = [geometry for geometry in fitting if _is_confirmed(geometry, responses, prober.size)]
    if not confirmed and len(fitting) == 1 and fitting[0] in before:
        confirmed = fitting
    if len(confirmed) == 1:
        return confirmed[0]
    return (
        f"its output of shape {list(shape)} is no map of the image of {prober.size[0]} x {prober.size[1]}: "
        f"{len(fitting)} layouts fit its sizes and {len(confirmed)} of them answer a disturbed pixel where it lies"
    )


def _tiling_grids(size: tuple[int, int]) -> list[Grid]:
    """Every grid of square cells that tile the image."""
    height, width = size
    strides = [stride for stride in range(1, min(size) + 1) if height % stride == 0 == width % stride]
    return [Grid(height // stride, width // stride, stride, height, width) for stride in strides]


def _probe_points(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Row and column of nine pixels spread over the image."""
    rows, columns = ([(2 * k + 1) * length // (2 * POINTS_PER_AXIS) for k in range(POINTS_PER_AXIS)] for length in size)
    return [(row, column) for row in rows for column in columns]


def _is_confirmed(geometry: Geometry, output: Float[Tensor, "..."], size: tuple[int, int]) -> bool:
    """Whether the cell that changes most is the one that holds the disturbed pixel, for most of the pixels."""
    assert geometry.grid is not None
    maps, stride = geometry.to_maps(output).double(), geometry.grid.stride
    change = (maps[1:] - maps[:1]).square().sum(dim=1)
    largest = [divmod(int(response.argmax()), geometry.grid.width) for response in change]
    hits = sum(
        cell == (row // stride, column // stride)
        for cell, (row, column) in zip(largest, _probe_points(size), strict=True)
    )
    return hits >= MIN_HITS
