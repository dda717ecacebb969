"""Where the cells of each stage lie over the image: images with a line of NaN mark the cells that see it.

Cell i sees the pixels from stride i + low to stride i + high, and its offset is the middle of the two. Lines near both
ends of a strip of the image show both as soon as the strip is longer than half of what a cell sees. Deep stages take
longer strips, which may be narrow.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from equistudy.groups.group import Grid
from equistudy.measuring.layout import Geometry
from equistudy.measuring.nan_tracer import NanTracer
from equistudy.measuring.stages import HookPoint, StopForwardPass, observe_outputs

__all__ = ["locate_cells"]

STRIP_GROWTH = (0, 1, 3, 7, 15, 31, 63)  # images more in the length of a strip, tried in turn
MAX_STRIP_LENGTH = 4096  # pixels: the cells of the deepest common networks see two thousand
LINES_PER_BATCH = 16
PHASES = (1, 3, 5, 7)  # eighths of a stride from the centre, at which a stage that mixes all positions is disturbed
MIN_ERROR = 0.25  # pixels by which its answer may be off; offsets are multiples of a half
REFUSAL_ERRORS = (RuntimeError, ValueError, AssertionError, IndexError)


def locate_cells(
    network: nn.Module,
    modules: Mapping[str, nn.Module | HookPoint],
    images: Float[Tensor, "B C H W"],
    found: Mapping[str, Geometry | str],
) -> dict[str, Geometry | str]:
    """The geometries with the offsets of their cells, where these can be found."""
    grids = {name: geometry for name, geometry in found.items() if isinstance(geometry, Geometry) and geometry.grid}
    if not grids:
        return dict(found)
    watched = {name: modules[name] for name in grids}
    lines = _LineProber(network, watched, images, grids)
    rows, columns = lines.find_offsets(0), lines.find_offsets(1)
    answer = dict(found)
    for name, geometry in grids.items():
        assert geometry.grid is not None
        grid = geometry.grid._replace(row_offset=rows.get(name), column_offset=columns.get(name))
        answer[name] = replace(geometry, grid=grid)
    return answer


class _TracedCells(NamedTuple):
    """Lines, and the cells that each of them marks."""

    lines: list[int]
    cells: Bool[Tensor, "lines cells"]


class _LineProber:
    """Images with marked or disturbed lines across one axis: 0 for rows, 1 for columns."""

    def __init__(
        self,
        network: nn.Module,
        modules: Mapping[str, nn.Module | HookPoint],
        images: Float[Tensor, "B C H W"],
        geometries: Mapping[str, Geometry],
    ) -> None:
        self.network, self.modules, self.image, self.geometries = network, modules, images[:1], geometries
        self.stride = max(_require_grid(geometry).stride for geometry in geometries.values())

    def find_offsets(self, axis: int) -> dict[str, float]:
        """The offset of each stage for which it can be found."""
        length, width = self.image.shape[2 + axis], self.image.shape[3 - axis]
        found: dict[str, float] = {}
        refused = set(self.geometries)
        for more in STRIP_GROWTH:
            # Paddings that depend on the size stay the same if it grows by whole cells.
            longer = length + -(-length * more // self.stride) * self.stride
            if more and longer > MAX_STRIP_LENGTH:
                break
            missing = self.geometries.keys() - found.keys()
            for strip in ((longer, 1), (longer, min(width, self.stride))):  # layers may ask for whole cells
                reached = self._find_reach(axis, strip, missing)
                refused, missing = refused - reached.keys(), missing - reached.keys()
                found |= self._offsets_from_traces(
                    self._trace_both_ends(axis, strip, {name for name in reached if not reached[name]})
                )
            if len(found) == len(self.geometries):
                return found
        found |= self._offsets_from_responses(axis, self.geometries.keys() - found.keys())
        return found | self._offsets_from_traces(self._trace_both_ends(axis, (length, width), refused - found.keys()))

    def _find_reach(self, axis: int, size: tuple[int, int], names: set[str]) -> dict[str, bool]:
        """Whether a line near an end of the strip still reaches the other end, of the stages that take such strips.

        If it does, a cell sees too much for this strip, and more lines would tell no more.
        """
        if not names:
            return {}
        edge = min(self.stride, size[0] - 1)
        ends = self._trace_lines(axis, size, [edge, size[0] - 1 - edge], names)
        return {name: bool(cells[0, -1] | cells[1, 0]) for name, cells in ends.items()}

    def _offsets_from_traces(self, marked: Mapping[str, tuple[_TracedCells, _TracedCells]]) -> dict[str, float]:
        """The offsets of the stages whose cells see less than the strip: the middle of what cell 0 sees."""
        found = {}
        for name, (begin, end) in marked.items():
            stride = _require_grid(self.geometries[name]).stride
            mirrored = _TracedCells([-line for line in reversed(end.lines)], end.cells.flip(0, 1))
            low, high = _find_edge(begin, stride), _find_edge(mirrored, stride)
            if low is not None and high is not None:
                found[name] = (low - high - stride * (end.cells.shape[1] - 1)) / 2
        return found

    def _trace_both_ends(
        self, axis: int, size: tuple[int, int], names: set[str]
    ) -> dict[str, tuple[_TracedCells, _TracedCells]]:
        """Which cells along the axis the lines near both ends of a strip mark, of the stages that take such strips.

        As many lines as pixels in the largest cell, one more, and those behind the last cell: then a cell enters there.
        """
        if not names:
            return {}
        stride = max(_require_grid(self.geometries[name]).stride for name in names)
        edge = range(min(stride + 1 + size[0] % stride, size[0]))
        lines = [*edge, *(size[0] - 1 - line for line in reversed(edge))]
        half = len(edge)
        return {
            name: (_TracedCells(lines[:half], cells[:half]), _TracedCells(lines[half:], cells[half:]))
            for name, cells in self._trace_lines(axis, size, lines, names).items()
        }

    def _trace_lines(
        self, axis: int, size: tuple[int, int], lines: list[int], names: set[str]
    ) -> dict[str, Bool[Tensor, "lines cells"]]:
        """Which cells along the axis each line marks, of the stages that take such strips."""
        strip = _tile_into_strip(self.image, axis, size)
        found: dict[str, list[Tensor]] = {name: [] for name in names}
        for start in range(0, len(lines), LINES_PER_BATCH):
            several = lines[start : start + LINES_PER_BATCH]
            marked = strip.repeat(len(several), 1, 1, 1)
            for image, line in zip(marked, several, strict=True):
                image.select(1 + axis, line).fill_(torch.nan)
            with NanTracer():
                maps = self._run_for_maps(marked, names)
            for name, features in maps.items():
                found[name].append(features.isnan().any(dim=1).any(dim=2 - axis).cpu())
        return {name: torch.cat(parts) for name, parts in found.items() if sum(map(len, parts)) == len(lines)}

    def _offsets_from_responses(self, axis: int, names: set[str]) -> dict[str, float]:
        """The offsets of stages that mix all positions: that of cells that tile the image, if they answer accordingly.

        Lines are disturbed around the centre, at every phase of a cell. The centres of what they change are, on
        average, where the cells lie.
        """
        length = self.image.shape[2 + axis]
        found = {}
        for stride in {_require_grid(self.geometries[name]).stride for name in names}:
            reach = [stride * phase / 8 for phase in PHASES]
            lines = [round((length - 1) / 2 + shift) for shift in [*(-step for step in reach), *reach]]
            disturbed = self.image.repeat(1 + len(lines), 1, 1, 1)
            for image, line in zip(disturbed[1:], lines, strict=True):
                image.select(1 + axis, line).add_(self.image.std() + 1)
            same = {name for name in names if _require_grid(self.geometries[name]).stride == stride}
            for name, maps in self._run_for_maps(disturbed, same).items():
                tiled = (stride - 1) / 2
                cells = _require_grid(self.geometries[name])[:2][axis]
                error = abs(_mean_response_position(maps, axis, lines, stride) - tiled)
                if cells * stride == length and error <= max(MIN_ERROR, tiled / 2):
                    found[name] = tiled
        return found

    def _run_for_maps(self, images: Float[Tensor, "B C H W"], names: set[str]) -> dict[str, Float[Tensor, "B K h w"]]:
        """The maps of the stages that run before the network refuses such images, if it does."""
        found: dict[str, Tensor] = {}

        def look(name: str, output: Any) -> None:
            geometry = self.geometries[name]
            height, width = (size // _require_grid(geometry).stride for size in images.shape[2:])
            # Only tokens need their grid, and they tile the image.
            grid = Grid(height, width, _require_grid(geometry).stride, *images.shape[2:])
            found[name] = replace(geometry, grid=grid).to_maps(output)
            if len(found) == len(names):
                raise StopForwardPass

        # A network of one size refuses such images, or those that are too small for its deep stages.
        with (
            observe_outputs(self.network, {name: self.modules[name] for name in names}, look),
            suppress(StopForwardPass, *REFUSAL_ERRORS),
        ):
            self.network(images)
        return found


def _require_grid(geometry: Geometry) -> Grid:
    assert geometry.grid is not None
    return geometry.grid


def _find_edge(marks: _TracedCells, stride: int) -> int | None:
    """The first pixel that cell 0 sees, from lines in growing order and the cells that begin to see them.

    None where the cells see too much, or do not begin one stride after another as those of convolutions do.
    """
    if marks.cells[:, -1].any():
        return None
    ever = marks.cells.any(dim=0)
    first = marks.cells.long().argmax(dim=0)
    start = int(first[ever].min()) if ever.any() else 0  # no cell sees the pixels behind the last one
    before = (ever & (first == start)).nonzero().flatten().tolist()
    if start and len(before) == 1:
        before = []
    entering = [cell for cell in ever.nonzero().flatten().tolist() if cell > max(before, default=-1)]
    edges = {marks.lines[int(first[cell])] - stride * cell for cell in entering}
    return edges.pop() if len(edges) == 1 else None


def _tile_into_strip(image: Float[Tensor, "1 C H W"], axis: int, size: tuple[int, int]) -> Float[Tensor, "1 C h w"]:
    """The image repeated and cut to a length along the axis and a width across it."""
    height, width = size if axis == 0 else size[::-1]
    rows = torch.arange(height, device=image.device) % image.shape[2]
    columns = torch.arange(width, device=image.device) % image.shape[3]
    return image[:, :, rows][:, :, :, columns]


def _mean_response_position(maps: Float[Tensor, "B C H W"], axis: int, lines: list[int], stride: int) -> float:
    """The mean over the lines of where they lie in the cells that they change: pixels behind stride times the cell."""
    changes = (maps[1:] - maps[:1]).double().square().sum(dim=1).sum(dim=2 - axis)
    local = (changes - changes.median(dim=1, keepdim=True).values).clamp(min=0)
    cells = torch.arange(local.shape[1], dtype=torch.float64, device=local.device)
    centres = (local * cells).sum(dim=1) / local.sum(dim=1)
    return float((torch.tensor(lines, dtype=torch.float64, device=local.device) - stride * centres).mean())
