"""Outputs of every layout, read as the same maps."""

import pytest
import torch

from equistudy.groups.group import Grid
from equistudy.measuring.layout import Geometry, Layout


@pytest.mark.parametrize("layout", [Layout.NCHW, Layout.NHWC, Layout.TOKENS])
def test_maps_have_channels_first(layout: Layout) -> None:
    maps = torch.rand(2, 5, 3, 4)
    tokens = torch.cat([torch.zeros(2, 2, 5), maps.flatten(2).transpose(1, 2)], dim=1)
    output = {Layout.NCHW: maps, Layout.NHWC: maps.permute(0, 2, 3, 1), Layout.TOKENS: tokens}[layout]
    assert torch.equal(Geometry(layout, 5, Grid(3, 4, 8, 24, 32), prefix=2).maps(output), maps)


GRID = Grid(3, 4, 8, 24, 32)


@pytest.mark.parametrize(
    ("geometry", "shapes"),
    [
        (Geometry(Layout.NCHW, 5, GRID), [(5, 3, 4)]),
        (Geometry(Layout.NHWC, 5, GRID), [(3, 4, 5)]),
        (Geometry(Layout.TOKENS, 5, GRID, prefix=2), [(14, 5)]),
        (Geometry(Layout.VECTOR, 5), [(5,), (5, 1, 1)]),
    ],
    ids=lambda given: given.layout.value if isinstance(given, Geometry) else None,
)
def test_outputs_of_another_shape_are_named(geometry: Geometry, shapes: list[tuple[int, ...]]) -> None:
    for shape in shapes:
        geometry.check("block", torch.rand(2, *shape), entries=2)
        with pytest.raises(ValueError, match=rf"same shape.*got \[3, .*\] from stage 'block' where .* \[2, {shape[0]}"):
            geometry.check("block", torch.rand(3, *shape), entries=2)
    other = torch.rand(2, *shapes[-1][:-1], 6)
    with pytest.raises(ValueError, match=r"got \[2, .*6\] from stage 'block'.* Leave this stage out"):
        geometry.check("block", other, entries=2)
    with pytest.raises(ValueError, match="got dict from stage 'block'"):
        geometry.check("block", {}, entries=2)
