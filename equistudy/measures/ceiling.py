"""What interpolation leaves of a perfect layer: the same comparison, with the pooled image as the layer's output."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from equistudy.groups.group import Grid
from equistudy.measures.comparison import Plan, ShardComparison
from equistudy.measures.layout import Geometry, Layout
from equistudy.measures.moments import Moments, pooled

__all__ = ["ceiling", "pooled_image"]


def ceiling(plan: Plan, images: Float[Tensor, "B C H W"], background: float | None) -> Moments | None:
    """The moments, by element and image channel, of a layer that is the mean of the pixels of each cell.

    Such a layer moves with the image, up to what its grid cannot show, so that its value is about the most that any
    layer of this stride can reach: 1 where the element moves cells to cells, less where the map is interpolated. None
    for vectors, and for grids whose place over the image is not known.
    """
    grid = plan.geometry.grid
    if grid is None or grid.centre is None:
        return None
    comparison = ShardComparison(replace(plan, geometry=Geometry(Layout.NCHW, images.shape[1], grid)))
    for view, shown in enumerate(plan.group.views(images, background)):
        comparison.take(view, pooled_image(shown, grid))
    return pooled(comparison.finished().matched)


def pooled_image(images: Float[Tensor, "B C H W"], grid: Grid) -> Float[Tensor, "B C h w"]:
    """The mean over a window of stride x stride pixels about the place of each cell; border pixels go on beyond.

    The window is one pixel longer where it would not be centred otherwise.
    """
    windows, cut = [], images
    for axis, offset in ((2, grid.row_offset), (3, grid.column_offset)):
        assert offset is not None
        window = grid.stride if (offset - (grid.stride - 1) / 2) % 1 == 0 else grid.stride + 1
        start = round(offset - (window - 1) / 2)
        stop = start + grid.stride * (grid[:2][axis - 2] - 1) + window
        pixels = torch.arange(start, stop, device=images.device).clamp(0, images.shape[axis] - 1)
        cut = cut.index_select(axis, pixels)
        windows.append(window)
    return avg_pool2d(cut, windows, grid.stride)
