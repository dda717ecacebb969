"""The axes of a stage's output, and how to read it as feature maps."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from jaxtyping import Float

from equistudy.groups.group import Grid
from equistudy.spec import Tensor

__all__ = ["MAX_PREFIX", "Geometry", "OutputLayout", "Shape", "list_fitting_geometries", "list_tiling_grids"]

MAX_PREFIX = 8  # class, distillation and register tokens in front of the grid

Shape = tuple[int, ...]


class OutputLayout(Enum):
    """The axes of an output: maps with channels first or last, tokens of a grid, or a vector."""

    NCHW = "NCHW"
    NHWC = "NHWC"
    TOKENS = "tokens"
    VECTOR = "vector"


@dataclass(frozen=True)
class Geometry:
    """The layout of a stage, its number of channels and, for maps, its grid; `prefix` tokens precede the grid."""

    layout: OutputLayout
    channels: int
    grid: Grid | None = None
    prefix: int = 0

    def to_maps(self, output: Float[Tensor, "..."]) -> Float[Tensor, "B C H W"]:
        """The output with the axes (B, C, H, W)."""
        assert self.grid is not None
        if self.layout is OutputLayout.NCHW:
            return output
        if self.layout is OutputLayout.NHWC:
            return output.permute(0, 3, 1, 2)
        return output[:, self.prefix :].transpose(1, 2).unflatten(2, (self.grid.height, self.grid.width))

    def to_features(self, output: Float[Tensor, "B ..."]) -> Float[Tensor, "B C"]:
        """One number per channel: a vector as it is, a map averaged over its cells in float64."""
        return output.flatten(1) if self.grid is None else self.to_maps(output).double().mean(dim=(2, 3))

    def check_output(self, stage: str, output: Any, entries: int) -> None:
        """Raises ValueError where the output of the stage for that many images is none of this geometry."""
        shape, found = (entries, *self._output_shape), getattr(output, "shape", None)
        allowed = (shape, (*shape, 1, 1)) if self.grid is None else (shape,)
        if found not in allowed:
            given = type(output).__name__ if found is None else list(found)
            raise ValueError(
                f"A stage must give the same shape for all images of one size, got {given} from stage {stage!r} where "
                f"its first images make it {list(shape)}. Leave this stage out, or let its shape depend on nothing but "
                "the size of the images."
            )

    @property
    def _output_shape(self) -> tuple[int, ...]:
        """The shape of the output for one image; a vector may have two more axes of 1."""
        if self.grid is None:
            return (self.channels,)
        rows, columns = self.grid[:2]
        if self.layout is OutputLayout.TOKENS:
            return self.prefix + rows * columns, self.channels
        return (self.channels, rows, columns) if self.layout is OutputLayout.NCHW else (rows, columns, self.channels)


def list_fitting_geometries(shape: Shape, size: tuple[int, int], before: list[Geometry]) -> list[Geometry]:
    """Every way to read an output of this shape: as cells that tile the image, or as the map of a stage before it."""
    fitting: list[Geometry] = []
    known = [geometry.grid for geometry in before if geometry.grid is not None]
    for grid in dict.fromkeys([*list_tiling_grids(size), *known]):
        cells = (grid.height, grid.width)
        if len(shape) == 4 and shape[2:] == cells:
            fitting.append(Geometry(OutputLayout.NCHW, shape[1], grid))
        if len(shape) == 4 and shape[1:3] == cells:
            fitting.append(Geometry(OutputLayout.NHWC, shape[3], grid))
        prefix = shape[1] - grid.height * grid.width
        if len(shape) == 3 and 0 <= prefix <= MAX_PREFIX and grid.height * grid.width > MAX_PREFIX:
            fitting.append(Geometry(OutputLayout.TOKENS, shape[2], grid, prefix))
    return fitting


def list_tiling_grids(size: tuple[int, int]) -> list[Grid]:
    """Every grid of square cells that tile the image."""
    height, width = size
    strides = [stride for stride in range(1, min(size) + 1) if height % stride == 0 == width % stride]
    return [Grid(height // stride, width // stride, stride, height, width) for stride in strides]
