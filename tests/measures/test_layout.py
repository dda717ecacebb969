"""Outputs of every layout, read as the same maps."""

import pytest
import torch

from equistudy.groups.group import Grid
from equistudy.measures.layout import Geometry, Layout


@pytest.mark.parametrize("layout", [Layout.NCHW, Layout.NHWC, Layout.TOKENS])
def test_maps_have_channels_first(layout: Layout) -> None:
    maps = torch.rand(2, 5, 3, 4)
    tokens = torch.cat([torch.zeros(2, 2, 5), maps.flatten(2).transpose(1, 2)], dim=1)
    output = {Layout.NCHW: maps, Layout.NHWC: maps.permute(0, 2, 3, 1), Layout.TOKENS: tokens}[layout]
    assert torch.equal(Geometry(layout, 5, Grid(3, 4, 8, 24, 32), prefix=2).maps(output), maps)
