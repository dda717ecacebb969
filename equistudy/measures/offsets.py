"""Where the cells of each stage lie over the image: found by images with a line of NaN, which marks what a cell sees.

NaN times anything is NaN, also in a ReLU, a max pool or behind a weight of 0, so that the marked cells are those that
see the line, whatever the weights. Cell i sees the pixels from stride i + low to stride i + high, and its offset is the
middle of the two. Lines near both ends of a strip of the image show both as soon as the strip is longer than half of
what a cell sees. Deep stages take longer strips, which may be narrow.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.backends import cudnn
from torch.overrides import TorchFunctionMode

from equistudy.groups.group import Grid
from equistudy.measures.layout import Geometry
from equistudy.measures.stages import watching

__all__ = ["located"]

GROWTH = (0, 1, 3)  # images more in the length of a strip, tried in turn
LINES_TOGETHER = 16
PHASES = (1, 3, 5, 7)  # eighths of a stride from the centre, at which a stage that mixes all positions is disturbed
MIN_ERROR = 0.25  # pixels by which its answer may be off; offsets are multiples of a half

POOLS = {
    "mean",
    "sum",
    "amax",
    "max",
    "norm",
    "vector_norm",
    "linalg_vector_norm",
    "var",
    "var_mean",
    "std",
    "std_mean",
}
ADAPTIVE = {"adaptive_avg_pool2d", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices"}
NORMS = {"group_norm", "instance_norm"}
REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError)


def located(
    network: nn.Module,
    modules: Mapping[str, nn.Module],
    images: Float[Tensor, "B C H W"],
    found: Mapping[str, Geometry | str],
) -> dict[str, Geometry | str]:
    """The geometries with the offsets of their cells, as far as they can be found."""
    grids = {name: geometry for name, geometry in found.items() if isinstance(geometry, Geometry) and geometry.grid}
    if not grids:
        return dict(found)
    watched = {name: modules[name] for name in grids}
    lines = _Lines(network, watched, images, grids)
    rows, columns = lines.offsets(0), lines.offsets(1)
    answer = dict(found)
    for name, geometry in grids.items():
        assert geometry.grid is not None
        grid = geometry.grid._replace(row_offset=rows.get(name), column_offset=columns.get(name))
        answer[name] = replace(geometry, grid=grid)
    return answer


class _Marks(NamedTuple):
    """Lines, and which cells each of them marks."""

    lines: list[int]
    cells: Bool[Tensor, "lines cells"]


class _Lines:
    """Images with marked or disturbed lines across one axis: 0 for rows, 1 for columns."""

    def __init__(
        self,
        network: nn.Module,
        modules: Mapping[str, nn.Module],
        images: Float[Tensor, "B C H W"],
        geometries: Mapping[str, Geometry],
    ) -> None:
        self.network, self.modules, self.image, self.geometries = network, modules, images[:1], geometries
        self.stride = max(_grid(geometry).stride for geometry in geometries.values())

    def offsets(self, axis: int) -> dict[str, float]:
        """The offset of each stage for which it can be found."""
        length, width = self.image.shape[2 + axis], self.image.shape[3 - axis]
        found: dict[str, float] = {}
        refused = set(self.geometries)
        for more in GROWTH:
            # Paddings that depend on the size stay the same if it grows by whole cells.
            longer = length + -(-length * more // self.stride) * self.stride
            missing = self.geometries.keys() - found.keys()
            marked = self._marked(axis, (longer, min(width, self.stride)), missing)
            refused -= marked.keys()
            found |= self._offsets_of(marked)
            if len(found) == len(self.geometries):
                return found
        found |= self._answered(axis, self.geometries.keys() - found.keys())
        return found | self._offsets_of(self._marked(axis, (length, width), refused - found.keys()))

    def _offsets_of(self, marked: Mapping[str, tuple[_Marks, _Marks]]) -> dict[str, float]:
        """The offsets of the stages whose cells see less than the strip: the middle of what cell 0 sees."""
        found = {}
        for name, (begin, end) in marked.items():
            stride = _grid(self.geometries[name]).stride
            mirrored = _Marks([-line for line in reversed(end.lines)], end.cells.flip(0, 1))
            low, high = _edge(begin, stride), _edge(mirrored, stride)
            if low is not None and high is not None:
                found[name] = (low - high - stride * (end.cells.shape[1] - 1)) / 2
        return found

    def _marked(self, axis: int, size: tuple[int, int], names: set[str]) -> dict[str, tuple[_Marks, _Marks]]:
        """Which cells along the axis the lines near both ends of a strip mark, of the stages that take such strips.

        As many lines as pixels in the largest cell, and one more: each cell that a line enters or leaves shows there.
        """
        if not names:
            return {}
        edge = range(min(self.stride + 1, size[0]))
        lines = [*edge, *(size[0] - 1 - line for line in reversed(edge))]
        strip = _strip(self.image, axis, size)
        found: dict[str, list[Tensor]] = {name: [] for name in names}
        for start in range(0, len(lines), LINES_TOGETHER):
            several = lines[start : start + LINES_TOGETHER]
            marked = strip.repeat(len(several), 1, 1, 1)
            for image, line in zip(marked, several, strict=True):
                image.select(1 + axis, line).fill_(torch.nan)
            maps = self._maps(marked, {name for name in names if len(found[name]) == start // LINES_TOGETHER})
            if not maps:
                return {}
            for name, features in maps.items():
                found[name].append(features.isnan().any(dim=1).any(dim=2 - axis).cpu())
        whole = {name: torch.cat(parts) for name, parts in found.items() if sum(map(len, parts)) == len(lines)}
        half = len(edge)
        return {
            name: (_Marks(lines[:half], cells[:half]), _Marks(lines[half:], cells[half:]))
            for name, cells in whole.items()
        }

    def _answered(self, axis: int, names: set[str]) -> dict[str, float]:
        """The offsets of stages that mix all positions: that of cells that tile the image, if they answer accordingly.

        Lines are disturbed around the centre, at every phase of a cell. The centres of what they change are, on
        average, where the cells lie.
        """
        length = self.image.shape[2 + axis]
        found = {}
        for stride in {_grid(self.geometries[name]).stride for name in names}:
            reach = [stride * phase / 8 for phase in PHASES]
            lines = [round((length - 1) / 2 + shift) for shift in [*(-step for step in reach), *reach]]
            disturbed = self.image.repeat(1 + len(lines), 1, 1, 1)
            for image, line in zip(disturbed[1:], lines, strict=True):
                image.select(1 + axis, line).add_(self.image.std() + 1)
            same = {name for name in names if _grid(self.geometries[name]).stride == stride}
            for name, maps in self._maps(disturbed, same).items():
                tiled = (stride - 1) / 2
                cells = _grid(self.geometries[name])[:2][axis]
                error = abs(_middle(maps, axis, lines, stride) - tiled)
                if cells * stride == length and error <= max(MIN_ERROR, tiled / 2):
                    found[name] = tiled
        return found

    def _maps(self, images: Float[Tensor, "B C H W"], names: set[str]) -> dict[str, Float[Tensor, "B K h w"]]:
        """The maps of the stages that run before the network refuses such images, if it does."""
        found: dict[str, Tensor] = {}

        def look(name: str, output: Any) -> None:
            geometry = self.geometries[name]
            height, width = (size // _grid(geometry).stride for size in images.shape[2:])
            # Only tokens need their grid, and they tile the image.
            grid = Grid(height, width, _grid(geometry).stride, *images.shape[2:])
            found[name] = replace(geometry, grid=grid).maps(output)

        watched = {name: self.modules[name] for name in names}
        # Convolutions by Winograd or FFT, which cuDNN may choose, would spread NaN over their tiles. A refusal comes
        # from a network of one size, or from too small a strip for its deep stages, which is what is asked here.
        with watching(watched, look), _Clear(), cudnn.flags(enabled=False), suppress(*REFUSALS):
            self.network(images)
        return found


class _Clear(TorchFunctionMode):
    """Takes NaN out of what is pooled over all positions, and keeps it out of norms over positions.

    A squeeze-and-excitation gate tells every cell about the line, but not where it is. Functions are told by name, for
    torch calls the same one from several places.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        result, name = func(*args, **given), getattr(func, "__name__", "")
        axes = next((value for value in (*args[1:], *given.values()) if isinstance(value, (list, tuple))), ())
        if name in POOLS and len(axes) > 1:
            return _with_first(result, torch.nan_to_num)
        if name in ADAPTIVE and _first(result).shape[-2:] == (1, 1):
            return _with_first(result, torch.nan_to_num)
        by_the_batch = name == "batch_norm" and (args[5] if len(args) > 5 else given.get("training"))
        if name in NORMS or by_the_batch:
            return args[0]
        return result


def _first(result: Any) -> Tensor:
    return result[0] if isinstance(result, tuple) else result


def _with_first(result: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The result of an operation with its tensor, the first one if it has several, changed."""
    return (change(result[0]), *result[1:]) if isinstance(result, tuple) else change(result)


def _grid(geometry: Geometry) -> Grid:
    assert geometry.grid is not None
    return geometry.grid


def _edge(marks: _Marks, stride: int) -> int | None:
    """The first pixel that cell 0 sees, from lines in growing order and the cells that begin to see them.

    None where the cells see too much, or do not begin one stride after another as those of convolutions do.
    """
    if marks.cells[:, -1].any():
        return None
    ever = marks.cells.any(dim=0)
    first = marks.cells.long().argmax(dim=0)
    before = (ever & (first == 0)).nonzero().flatten().tolist()
    entering = [cell for cell in ever.nonzero().flatten().tolist() if cell > max(before, default=-1)]
    edges = {marks.lines[int(first[cell])] - stride * cell for cell in entering}
    return edges.pop() if len(edges) == 1 else None


def _strip(image: Float[Tensor, "1 C H W"], axis: int, size: tuple[int, int]) -> Float[Tensor, "1 C h w"]:
    """The image repeated and cut to a length along the axis and a width across it."""
    height, width = size if axis == 0 else size[::-1]
    rows = torch.arange(height, device=image.device) % image.shape[2]
    columns = torch.arange(width, device=image.device) % image.shape[3]
    return image[:, :, rows][:, :, :, columns]


def _middle(maps: Float[Tensor, "B C H W"], axis: int, lines: list[int], stride: int) -> float:
    """The mean over the lines of where they lie in the cells that they change: pixels behind stride times the cell."""
    changes = (maps[1:] - maps[:1]).double().square().sum(dim=1).sum(dim=2 - axis)
    local = (changes - changes.median(dim=1, keepdim=True).values).clamp(min=0)
    cells = torch.arange(local.shape[1], dtype=torch.float64, device=local.device)
    centres = (local * cells).sum(dim=1) / local.sum(dim=1)
    return float((torch.tensor(lines, dtype=torch.float64, device=local.device) - stride * centres).mean())
