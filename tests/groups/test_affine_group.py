"""Feature maps that move with their images, about the true centre, in regions that both sides show."""

from typing import Any

import pytest
import torch
from torch.nn.functional import avg_pool2d

from equistudy.groups.finite import CyclicGroup, DihedralGroup, Flip, Reflection
from equistudy.groups.group import Element, Grid
from equistudy.groups.one_parameter import HyperbolicRotation, Rotation, Scaling, Shear, Stretch

CENTRED = Grid(12, 12, 4, 48, 48, 1.5, 1.5)
OFF = Grid(12, 12, 4, 48, 48, 0.0, 0.0)
GROUPS = [
    Rotation(),
    Rotation(degrees=(10.0, -35.0, 90.0)),
    Scaling(),
    Shear(),
    Stretch(),
    HyperbolicRotation(),
    Reflection(),
    DihedralGroup(),
]


def ramp(size: int = 48) -> torch.Tensor:
    """A linear function of the position, which bilinear interpolation keeps exactly, also at the places of cells."""
    line = torch.arange(float(size), dtype=torch.float64)
    return (2 * line + 5 * line[:, None]).expand(1, 1, size, size)


def seen(images: torch.Tensor, offset: float, cells: int = 12) -> torch.Tensor:
    """What cells at 4 i + offset see of a ramp: linear interpolation between its pixels."""
    place = 4 * torch.arange(cells, dtype=torch.float64) + offset
    low = place.floor().long()
    weight = place - low
    rows = images[..., low, :] * (1 - weight)[:, None] + images[..., low + 1, :] * weight[:, None]
    return rows[..., low] * (1 - weight) + rows[..., low + 1] * weight


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize(("grid", "offset"), [(CENTRED, 1.5), (OFF, 0.0)], ids=["centred", "off"])
@pytest.mark.parametrize("erosion", [0, 2])
def test_features_move_with_their_images(group: Any, grid: Grid, offset: float, erosion: int) -> None:
    reference, *views = group.views(ramp(), None)
    # the views mask the corners; the region must not reach there, so features of the unmasked ramp are the reference
    features = seen(ramp(), offset)
    for element, view in zip(group.elements(), views, strict=True):
        assert view.shape == reference.shape
        region = group.region(element, grid, erosion)
        assert min(region.shape) >= 4
        here = (..., region.rows, region.columns)
        expected = group.act_on_features(features, element, grid, region)
        moved = group.act(ramp(), torch.tensor([element.parameters], dtype=torch.float64))
        interior = region if erosion else group.region(element, grid, 1)
        inside = (..., interior.rows, interior.columns)
        actual = seen(moved, offset)
        cut = group.act_on_features(features, element, grid, interior)
        torch.testing.assert_close(interior.positions(cut), interior.positions(actual[inside]), rtol=0, atol=1e-9)
        assert region.positions(expected).shape == region.positions(actual[here]).shape == (1, 1, region.num_cells)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_regions_show_cells_of_the_map_and_lose_none(group: Any) -> None:
    # brute force: a cell is compared if it and what it shows lie inside, and in the disk if there is one
    (row, column), erosion = OFF.centre or (0.0, 0.0), 1
    for element in group.elements():
        region = group.region(element, OFF, erosion)
        chosen = torch.zeros(12, 12, dtype=torch.bool)
        cells = torch.arange(144.0).view(12, 12)[region.rows, region.columns]
        chosen.view(-1)[region.positions(cells).long()] = True
        (a, b, _), (c, d, _) = group.matrices(torch.tensor([element.parameters], dtype=torch.float64))[0].tolist()
        masked = isinstance(group, Rotation) and 10.0 in group.degrees
        radius = 5.125 - erosion if masked else 99.0
        for i in range(12):
            for j in range(12):
                x, y = j - column, i - row
                places = (i, j, c * x + d * y + row, a * x + b * y + column)
                inside = all(erosion - 1e-9 <= place <= 11 - erosion + 1e-9 for place in places)
                assert bool(chosen[i, j]) == (inside and x * x + y * y <= radius**2 + 1e-9)


def test_only_centred_cells_move_to_cells() -> None:
    for element in CyclicGroup().elements():
        assert CyclicGroup().is_grid_aligned(element, CENTRED)
        assert not CyclicGroup().is_grid_aligned(element, OFF)
    half, quarter = (Grid(12, 12, 4, 48, 48, 1.5 + shift, 1.5 + shift) for shift in (2.0, 1.0))
    turn = Element("", 90.0, (90.0, 0.0))
    assert half.centre_error == (2.0, 2.0)
    assert CyclicGroup().is_grid_aligned(turn, half)
    assert not CyclicGroup().is_grid_aligned(turn, quarter)
    assert not Rotation(degrees=(45.0,)).is_grid_aligned(Rotation(degrees=(45.0,)).elements()[0], CENTRED)
    # a transposition keeps the diagonal, wherever the cells lie on it
    assert DihedralGroup().is_grid_aligned(Element("", 180.0, (90.0, 1.0)), OFF)
    columns = Grid(12, 12, 4, 48, 48, 0.0, 1.5)
    assert Reflection().is_grid_aligned(Reflection().elements()[0], columns)
    upright = Reflection(flip=Flip.VERTICAL)
    assert not upright.is_grid_aligned(upright.elements()[0], columns)


def test_half_a_cell_off_a_turn_copies_cells() -> None:
    grid, turn = Grid(12, 12, 4, 48, 48, 3.5, 3.5), Element("", 90.0, (90.0, 0.0))
    features = torch.rand(1, 2, 12, 12)
    region = CyclicGroup().region(turn, grid, 0)
    moved = CyclicGroup().act_on_features(features, turn, grid, region)
    assert region.shape == (11, 12)
    assert set(moved.flatten().tolist()) <= set(features.flatten().tolist())


def test_a_disk_hides_the_corners_of_every_view() -> None:
    images = torch.rand(2, 3, 20, 26) + 1
    plain = Rotation().views(images, None)
    assert torch.equal(plain[0], images[..., 3:23])
    assert torch.equal(plain[1], torch.rot90(images[..., 3:23], 1, dims=(2, 3)))
    for view in Rotation(degrees=(30.0, 90.0)).views(images, 0.25):
        assert (view[..., 0, 0] == 0.25).all()
        assert ((view > 0.9) | (view == 0.25)).all()
        assert torch.equal(view == 0.25, (view == 0.25)[:1, :1].expand_as(view))


def test_reflections_take_images_that_are_not_square() -> None:
    images = torch.rand(1, 1, 6, 9)
    assert torch.equal(Reflection().views(images, None)[1], images.flip(3))
    assert torch.equal(Reflection(flip=Flip.VERTICAL).views(images, None)[1], images.flip(2))
    assert torch.equal(CyclicGroup(2).views(images, None)[1], images.flip((2, 3)))


def test_the_background_surrounds_shrunk_content() -> None:
    shrunk = Scaling(factors=(0.5,)).views(torch.ones(1, 1, 16, 16), 0.25)[1]
    assert shrunk[0, 0, 0].tolist() == [0.25] * 16
    assert shrunk[0, 0, 8, 8] == 1


def test_maps_without_a_known_centre_or_square_are_refused() -> None:
    assert "no centre to act about" in str(Rotation().obstacle(Grid(12, 12, 4, 48, 48)))
    oblong = Grid(12, 11, 4, 48, 48, 1.5, 1.5)
    assert "12 x 11 cells cannot be turned" in str(CyclicGroup().obstacle(oblong))
    assert Reflection().obstacle(oblong) is None
    assert Rotation().obstacle(OFF) is None


def test_nothing_is_left_of_a_small_map() -> None:
    region = Rotation(degrees=(30.0,)).region(Element("", 30.0, (30.0,)), Grid(3, 3, 4, 12, 12, 1.5, 1.5), 2)
    assert region.shape == (0, 0)


def test_pooled_images_are_what_cells_of_their_stride_see() -> None:
    torch.testing.assert_close(seen(ramp(), 1.5), avg_pool2d(ramp(), 4))
