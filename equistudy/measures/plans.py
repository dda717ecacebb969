"""Which elements can be compared at which cells of a stage."""

from equistudy.measures.comparison import Plan
from equistudy.measures.correlation import MomentMeasure
from equistudy.measures.geometry import Geometry
from equistudy.measures.measure import Skipped

__all__ = ["MIN_CELLS", "compared"]

# It decides which rows there are: with another number here, each moment measure needs a higher REVISION.
MIN_CELLS = 4  # along each axis; fewer say nothing about a correlation over positions


def compared(measure: MomentMeasure, stage: str, geometry: Geometry) -> tuple[Plan | None, list[Skipped]]:
    """The elements with the cells at which a measure compares a stage, and the elements that leave too few."""
    grid, elements = geometry.grid, list(enumerate(measure.group.elements(), start=1))
    if grid is None:
        views, every = zip(*elements, strict=True)
        return Plan(geometry, measure.group, every, views, None), []
    obstacle = measure.group.obstacle(grid) or measure.group.channel_obstacle(geometry.channels)
    if obstacle is not None:
        return None, [Skipped(measure.name, stage, None, obstacle)]
    kept, skipped = [], []
    for view, element in elements:
        region = measure.group.region(element, grid, measure.erosion)
        if min(region.shape) >= MIN_CELLS:
            kept.append((element, view, region))
            continue
        left = " x ".join(map(str, region.shape))
        reason = f"{left} of {grid.height} x {grid.width} cells can be compared, fewer than {MIN_CELLS} x {MIN_CELLS}"
        skipped.append(Skipped(measure.name, stage, element.label, reason))
    if not kept:
        return None, skipped
    compared_elements, views, regions = zip(*kept, strict=True)
    return Plan(geometry, measure.group, compared_elements, views, regions), skipped
