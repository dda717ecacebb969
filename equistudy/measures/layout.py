"""The axes of a stage's output, and how to read it as feature maps."""

from dataclasses import dataclass
from enum import Enum

from jaxtyping import Float

from equistudy.groups.group import Grid
from equistudy.spec import Tensor

__all__ = ["Geometry", "Layout"]


class Layout(Enum):
    """The axes of an output: maps with channels first or last, tokens of a grid, or a vector."""

    NCHW = "NCHW"
    NHWC = "NHWC"
    TOKENS = "tokens"
    VECTOR = "vector"


@dataclass(frozen=True)
class Geometry:
    """The layout of a stage, its number of channels and, for maps, its grid; `prefix` tokens precede the grid."""

    layout: Layout
    channels: int
    grid: Grid | None = None
    prefix: int = 0

    def maps(self, output: Float[Tensor, "..."]) -> Float[Tensor, "B C H W"]:
        """The output with the axes (B, C, H, W)."""
        assert self.grid is not None
        if self.layout is Layout.NCHW:
            return output
        if self.layout is Layout.NHWC:
            return output.permute(0, 3, 1, 2)
        return output[:, self.prefix :].transpose(1, 2).unflatten(2, (self.grid.height, self.grid.width))
