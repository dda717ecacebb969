"""How each stage's output is laid out over the image: probed with images of other sizes, never assumed.

A chain of convolutions has exactly one more cell for each `stride` more pixels. Taller and wider images therefore show
which axes of an output are rows and columns, and how many pixels a cell spans. `offsets` finds where the cells lie. For
a network with a fixed input size, the stride is the ratio of the sizes; it is accepted if a perturbed pixel changes the
cell that contains it, or if an earlier stage of the same shape passed this test.
"""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equistudy.groups.group import Grid
from equistudy.measuring.layout import (
    MAX_PREFIX,
    Geometry,
    OutputLayout,
    Shape,
    list_fitting_geometries,
    list_tiling_grids,
)
from equistudy.measuring.nan_tracer import NanTracer
from equistudy.measuring.offsets import REFUSAL_ERRORS, locate_cells
from equistudy.measuring.stages import HookPoint, StopForwardPass, observe_outputs
from equistudy.measuring.strides import check_declaration, find_declared_reductions, find_stride

__all__ = ["Geometry", "OutputLayout", "probe_geometries"]

POINTS_PER_AXIS = 3  # disturbed pixels along each axis
MIN_HITS = 5  # of the nine, where chance alone gives one in as many as there are cells
MIN_NEAR_HITS = 7  # of the nine in the cell or next to it, reached by chance once in 10,000 for that many cells
MANY_CELLS = 49


def probe_geometries(
    network: nn.Module,
    modules: Mapping[str, nn.Module | HookPoint],
    images: Float[Tensor, "B C H W"],
    offsets: bool = True,
) -> dict[str, Geometry | str]:
    """The geometry of each stage for images of this size, or the reason why it could not be determined.

    Without `offsets` the grids have none, which suffices for translations and takes fewer passes.
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
    declared = find_declared_reductions(network)
    for name in modules:
        shape = base.get(name, "its module does not run in the forward pass")
        if isinstance(shape, str):
            found[name] = shape
        elif len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
            found[name] = Geometry(OutputLayout.VECTOR, shape[1])
        elif name in longer and name in wider:
            found[name] = _geometry_from_growth(prober, name, shape, longer[name], wider[name])
        else:
            before = [known for known in found.values() if isinstance(known, Geometry)]
            found[name] = _fit_geometry(prober, name, shape, before, set(declared.values()))
        point = modules[name]
        reduction = declared.get(point.module if isinstance(point, HookPoint) else point)
        if reduction is not None and not isinstance(shape, str):
            found[name] = check_declaration(found[name], shape, (height, width), reduction)
    return locate_cells(network, modules, images, found) if offsets else found


class _Prober:
    """Runs the network on images of several sizes and remembers the shapes of its stages."""

    def __init__(
        self, network: nn.Module, modules: Mapping[str, nn.Module | HookPoint], images: Float[Tensor, "B C H W"]
    ) -> None:
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
        with (
            observe_outputs(self.network, watched, look),
            NanTracer() if larger else nullcontext(),
            suppress(StopForwardPass),
        ):
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
            with observe_outputs(self.network, self.modules, lambda name, output: responses.update({name: output})):
                self.network(torch.cat(copies))
            self.responses = responses
        return self.responses


def _geometry_from_growth(
    prober: _Prober, name: str, shape: Shape, longer: Shape | str, wider: Shape | str
) -> Geometry | str:
    """The geometry that follows from larger images."""
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
            grid for grid in list_tiling_grids(prober.size) if grid.height * grid.width == cells == wider[1] - shape[1]
        ]
        if len(grids) == 1 and 0 <= shape[1] - cells <= MAX_PREFIX:
            return Geometry(OutputLayout.TOKENS, shape[2], grids[0], shape[1] - cells)
    return f"its output of shape {list(shape)} does not grow with the image as a map or as tokens do"


def _map_geometry(prober: _Prober, name: str, layout: OutputLayout, shape: Shape, rows_gained: int) -> Geometry | str:
    """The grid of a map that has more rows by this number on an image twice as long."""
    rows, columns, channels = (2, 3, 1) if layout is OutputLayout.NCHW else (1, 2, 3)

    def count_gained(more: int, down: int, across: int) -> tuple[int, int] | None:
        """How many rows images longer by `down`, and columns images wider by `across` times that, have more."""
        longer, wider = prober.find_shapes(more * down, 0).get(name), prober.find_shapes(0, more * across).get(name)
        if not isinstance(longer, tuple) or not isinstance(wider, tuple):
            return None
        return longer[rows] - shape[rows], wider[columns] - shape[columns]

    height, width = prober.size
    stride = find_stride(height, width, rows_gained, count_gained)
    if isinstance(stride, str):
        return stride
    return Geometry(layout, shape[channels], Grid(shape[rows], shape[columns], stride, height, width))


def _fit_geometry(
    prober: _Prober, name: str, shape: Shape, before: list[Geometry], declared: set[int]
) -> Geometry | str:
    """The one geometry that fits the sizes, confirmed by disturbed pixels, for networks that take one size only.

    Layers that mix all tokens may respond elsewhere: then the layout of an earlier stage of the same shape is taken.
    """
    fitting = list_fitting_geometries(shape, prober.size, before)
    responses = prober.disturb_pixels().get(name)
    if responses is None or responses.shape[1:] != shape[1:]:
        again = "nothing" if responses is None else list(responses.shape)
        return f"its output changes its shape from one call to the next: {again} after {list(shape)}"
    confirmed = [geometry for geometry in fitting if _is_confirmed(geometry, responses, prober.size)]
    if not confirmed and len(fitting) == 1 and (fitting[0] in before or _require_stride(fitting[0]) in declared):
        confirmed = fitting
    if len(confirmed) == 1:
        return confirmed[0]
    responding = "1 responds" if len(confirmed) == 1 else f"{len(confirmed)} respond"
    return (
        f"its output of shape {list(shape)} cannot be read as a map of the image of {prober.size[0]} x "
        f"{prober.size[1]}: {len(fitting)} layouts fit its sizes, and {responding} to a perturbed pixel where it lies"
    )


def _require_stride(geometry: Geometry) -> int:
    assert geometry.grid is not None
    return geometry.grid.stride


def _probe_points(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Row and column of nine pixels spread over the image."""
    rows, columns = ([(2 * k + 1) * length // (2 * POINTS_PER_AXIS) for k in range(POINTS_PER_AXIS)] for length in size)
    return [(row, column) for row in rows for column in columns]


def _is_confirmed(geometry: Geometry, output: Float[Tensor, "..."], size: tuple[int, int]) -> bool:
    """Whether the cell that changes most holds the disturbed pixel or, on large maps, is a neighbour of such a cell.

    Strided convolutions between the tokens shift the response by a cell.
    """
    assert geometry.grid is not None
    maps, stride = geometry.to_maps(output).double(), geometry.grid.stride
    change = (maps[1:] - maps[:1]).square().sum(dim=1)
    largest = [divmod(int(response.argmax()), geometry.grid.width) for response in change]
    away = [
        max(abs(cell[0] - row // stride), abs(cell[1] - column // stride))
        for cell, (row, column) in zip(largest, _probe_points(size), strict=True)
    ]
    if change[0].numel() >= MANY_CELLS and sum(distance <= 1 for distance in away) >= MIN_NEAR_HITS:
        return True
    return away.count(0) >= MIN_HITS
