"""The best value that interpolation allows: the same comparison with the average-pooled image as the feature map."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from equistudy.groups.affine_group import AffineGroup
from equistudy.groups.group import Grid
from equistudy.measuring.comparison import ComparisonPlan, ShardComparison
from equistudy.measuring.families import KeptStatistic, StatisticKey
from equistudy.measuring.layout import Geometry, OutputLayout
from equistudy.measuring.measure import Subject
from equistudy.measuring.moments import Moments, pool_moments
from equistudy.measuring.stages import crop_centre

__all__ = ["average_pool_to_grid", "compute_ceiling", "compute_ceilings"]

# It decides digits of the ceilings, whose own error is about that of a correlation over the same number of images.
CEILING_IMAGES = 16


def compute_ceilings(plans: Mapping[StatisticKey, ComparisonPlan], subject: Subject) -> dict[StatisticKey, Moments]:
    """The ceilings of the stages at which some element interpolates; equal grids and erosions share one."""
    images = subject.images[:CEILING_IMAGES]
    known: dict[tuple[Grid, int | None], Moments] = {}
    found: dict[StatisticKey, Moments] = {}
    for key, plan in plans.items():
        grid = plan.geometry.grid
        if key.watch is not KeptStatistic.MOMENTS or plan.regions is None or grid is None:
            continue
        if all(plan.group.is_grid_aligned(element, grid) for element in plan.elements):
            continue
        if (grid, key.erosion) not in known:
            moments = compute_ceiling(plan, images, subject.background, subject.window)
            if moments is None:
                continue
            known[grid, key.erosion] = moments
        found[key] = known[grid, key.erosion]
    return found


def compute_ceiling(
    plan: ComparisonPlan, images: Float[Tensor, "B C H W"], background: float | None, window: int | None = None
) -> Moments | None:
    """The moments, by element and image channel, of a layer that is the mean of the pixels of each cell.

    Such a layer is equivariant up to the resolution of its grid, so its value is about the best that any layer of this
    stride can reach: 1 where the element maps cells to cells, less where the map is interpolated. None for vectors, and
    for grids whose offset is needed but unknown; translations do not need it.
    """
    grid = plan.geometry.grid
    if grid is None:
        return None
    if grid.centre is None:
        if isinstance(plan.group, AffineGroup):
            return None
        grid = grid._replace(row_offset=(grid.stride - 1) / 2, column_offset=(grid.stride - 1) / 2)
    geometry = Geometry(OutputLayout.NCHW, images.shape[1], grid)
    group = plan.group.without_channel_action()  # the channels of images are no fields
    comparison = ShardComparison(replace(plan, geometry=geometry, group=group, channel_maps=None))
    for view, shown in enumerate(plan.group.views(images, background)):
        comparison.take(view, average_pool_to_grid(crop_centre(shown, window), grid))
    return pool_moments(comparison.finish().matched)


def average_pool_to_grid(images: Float[Tensor, "B C H W"], grid: Grid) -> Float[Tensor, "B C h w"]:
    """The mean over a window of stride x stride pixels around each cell; border pixels are replicated.

    The window is one pixel longer where it could not be centred otherwise.
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
