"""Outputs of every layout, read as the same maps."""

import pytest
import torch

from equistudy.groups.group import Grid
from equistudy.measuring.layout import Geometry, OutputLayout


@pytest.mark.parametrize("layout", [OutputLayout.NCHW, OutputLayout.NHWC, OutputLayout.TOKENS])
def test_maps_have_channels_first(layout: OutputLayout) -> None:
    maps = torch.rand(2, 5, 3, 4)
    tokens = torch.cat([torch.zeros(2, 2, 5), maps.flatten(2).transpose(1, 2)], dim=1)
    output = {OutputLayout.NCHW: maps, OutputLayout.NHWC: maps.permute(0, 2, 3, 1), OutputLayout.TOKENS: tokens}[layout]
    assert torch.equal(Geometry(layout, 5, Grid(3, 4, 8, 24, 32), prefix=2).to_maps(output), maps)


GRID = Grid(3, 4, 8, 24, 32)


@pytest.mark.parametrize(
    ("geometry", "shapes"),
    [
        (Geometry(OutputLayout.NCHW, 5, GRID), [(5, 3, 4)]),
        (Geometry(OutputLayout.NHWC, 5, GRID), [(3, 4, 5)]),
        (Geometry(OutputLayout.TOKENS, 5, GRID, prefix=2), [(14, 5)]),
        (Geometry(OutputLayout.VECTOR, 5), [(5,), (5, 1, 1)]),
    ],
    ids=lambda given: given.layout.value if isinstance(given, Geometry) else None,
)
def test_outputs_of_another_shape_are_named(geometry: Geometry, shapes: list[tuple[int, ...]]) -> None:
    for shape in shapes:
        geometry.check_output("block", torch.rand(2, *shape), entries=2)
        with pytest.raises(ValueError, match=rf"same shape.*got \[3, .*\] from stage 'block' where .* \[2, {shape[0]}"):
            geometry.check_output("block", torch.rand(3, *shape), entries=2)
    other = torch.rand(2, *shapes[-1][:-1], 6)
    with pytest.raises(ValueError, match=r"got \[2, .*6\] from stage 'block'.* Leave this stage out"):
        geometry.check_output("block", other, entries=2)
    with pytest.raises(ValueError, match="got dict from stage 'block'"):
        geometry.check_output("block", {}, entries=2)


@pytest.mark.parametrize("layout", [OutputLayout.NCHW, OutputLayout.NHWC, OutputLayout.TOKENS])
def test_features_are_means_over_cells_in_float64(layout: OutputLayout) -> None:
    maps = torch.rand(3, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    tokens = torch.cat([torch.full((3, 2, 5), 9.0), maps.flatten(2).transpose(1, 2)], dim=1)
    output = {OutputLayout.NCHW: maps, OutputLayout.NHWC: maps.permute(0, 2, 3, 1), OutputLayout.TOKENS: tokens}[layout]
    expected = torch.stack([image.double().flatten(1).sum(dim=1) / 12 for image in maps])
    torch.testing.assert_close(Geometry(layout, 5, GRID, prefix=2).to_features(output), expected, rtol=0, atol=1e-15)


def test_features_of_a_vector_are_the_vector() -> None:
    vectors = torch.rand(3, 5)
    assert torch.equal(Geometry(OutputLayout.VECTOR, 5).to_features(vectors), vectors)
