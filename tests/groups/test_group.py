"""The words of a group, and its axioms for every group that the package has."""

import pkgutil
from importlib import import_module
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import equistudy.groups
from equistudy.groups.group import Grid, Group, Region, Views
from equistudy.groups.one_parameter import Saturation
from equistudy.groups.translation import Border, Translation

for found in pkgutil.iter_modules(equistudy.groups.__path__):
    import_module(f"equistudy.groups.{found.name}")


def leaves(kind: type) -> list[type]:
    """The built-in groups: other tests define some of their own."""
    built_in = [child for child in kind.__subclasses__() if child.__module__.startswith("equistudy.")]
    below = [leaf for child in built_in for leaf in leaves(child)]
    return below or [kind]


# Saturation moves no content, so that it is refused where these are taken
KINDS = [kind for kind in leaves(Group) if kind is not Saturation]
GROUPS: list[Any] = [Translation(border=Border.CIRCULAR) if kind is Translation else kind() for kind in KINDS]


@pytest.mark.parametrize("group", GROUPS, ids=str)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_axioms_hold_for_elements(group: Any, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    f, g, h = (group.sample(5, rng).double() for _ in range(3))
    nothing = group.compose(g, group.inverse(g))
    images = torch.rand(5, 2, 6, 6, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(group.act(images, nothing), images)
    torch.testing.assert_close(group.compose(nothing, g), g)
    torch.testing.assert_close(group.compose(g, nothing), g)
    torch.testing.assert_close(group.compose(group.compose(f, g), h), group.compose(f, group.compose(g, h)))


@pytest.mark.parametrize("group", GROUPS, ids=str)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_actions_compose(group: Any, seed: int) -> None:
    # Exactly where the action is exact; elsewhere two warps blur more than one, on smooth content by little.
    rng = torch.Generator().manual_seed(seed)
    g, h = (group.sample(3, rng).double() for _ in range(2))
    line = torch.linspace(-3, 3, 61, dtype=torch.float64)
    images = torch.exp(-((line - 0.6) ** 2) - (line[:, None] + 0.3) ** 2 / 0.5).expand(3, 1, 61, 61)
    twice, once = group.act(group.act(images, h), g), group.act(images, group.compose(g, h))
    exact = isinstance(group, Translation) or hasattr(group, "order")
    torch.testing.assert_close(twice, once, rtol=0, atol=0 if exact else 0.03)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_elements_are_not_the_identity_and_have_names_of_their_own(group: Any) -> None:
    elements = group.elements()
    assert (
        len({element.label for element in elements}) == len(elements) == len(group.views(torch.rand(1, 1, 9, 9), 0)) - 1
    )
    images = torch.rand(1, 1, 9, 9, dtype=torch.float64)
    for element in elements:
        moved = group.act(images, torch.tensor([element.parameters], dtype=torch.float64))
        assert (moved - images).abs().max() > 0.1
        assert element.magnitude > 0


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_samples_are_repeatable_and_lie_on_the_generators_device(group: Any) -> None:
    one, other = (group.sample(4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, other)
    assert len(one) == 4
    assert one.shape[1] == len(group.elements()[0].parameters)


def test_the_shape_of_a_region_is_never_negative() -> None:
    assert Region(slice(1, 5), slice(2, 4)).shape == (4, 2)
    assert Region(slice(5, 3), slice(0, 2)).shape == (0, 2)
    assert Region(slice(5, 3), slice(0, 2)).num_cells == 0


def test_the_positions_of_a_region_are_its_cells_row_by_row() -> None:
    maps = torch.arange(24.0).view(2, 3, 4)
    assert torch.equal(Region(slice(0, 3), slice(0, 4)).positions(maps), maps.flatten(1))
    region = Region(slice(0, 3), slice(0, 4), ((1, 3), (0, 4), (2, 2)))
    assert region.num_cells == 6
    assert region.positions(maps).tolist() == [[1, 2, 4, 5, 6, 7], [13, 14, 16, 17, 18, 19]]


def test_the_centre_of_a_grid_follows_from_its_offsets() -> None:
    # k3 s2 p1 five times at 224 pixels: the cells look at 0, 32 ... 192, half a cell off; at 225 they are centred
    assert Grid(7, 7, 32, 224, 224, 0.0, 0.0).centre_error == (-15.5, -15.5)
    assert Grid(8, 8, 32, 225, 225, 0.0, 0.0).centre_error == (0, 0)
    patches = Grid(56, 28, 4, 224, 112, 1.5, 1.5)
    assert (patches.centre, patches.centre_error) == ((27.5, 13.5), (0, 0))
    assert Grid(7, 7, 4, 28, 28).centre is None
    assert Grid(7, 7, 4, 28, 28, 0.0).centre_error is None


@pytest.mark.parametrize("group", GROUPS, ids=str)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_points_move_as_the_content_of_images_does(group: Any, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    g, h = (group.sample(3, rng).double() for _ in range(2))
    points = 8 * torch.rand(3, 4, 2, generator=rng, dtype=torch.float64) - 4
    twice = group.act_on_points(group.act_on_points(points, h), g)
    torch.testing.assert_close(twice, group.act_on_points(points, group.compose(g, h)))
    # a blob about each set's first point, and the centre of mass of the moved blob
    y, x = (torch.arange(81.0, dtype=torch.float64) - 40).unsqueeze(1), torch.arange(81.0, dtype=torch.float64) - 40
    near, down = points[:, 0, 0, None, None], points[:, 0, 1, None, None]
    blobs = torch.exp(-((x - near).square() + (y - down).square()) / 32)[:, None]
    moved = group.act(blobs, g)
    mass = moved.sum(dim=(1, 2, 3))
    centre = torch.stack([(moved * x).sum(dim=(1, 2, 3)) / mass, (moved * y).sum(dim=(1, 2, 3)) / mass], dim=1)
    torch.testing.assert_close(centre, group.act_on_points(points, g)[:, 0], rtol=0, atol=0.05)


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_maps_and_tokens_move_each_by_its_own_element(group: Any) -> None:
    elements, grid = group.elements(), Grid(12, 12, 4, 48, 48, 1.5, 1.5)
    channels = getattr(group, "order", 1) * 2
    maps = torch.rand(3, channels, 12, 12, dtype=torch.float64)
    first, last = (torch.tensor([element.parameters]).double() for element in (elements[0], elements[-1]))
    moved = group.act_on_maps(maps, torch.cat([first, last, first]), grid)
    for sample, element in zip(range(3), (elements[0], elements[-1], elements[0]), strict=True):
        region = group.region(element, grid, 0)
        expected = group.act_on_features(maps[sample : sample + 1], element, grid, region)
        found = moved[sample : sample + 1, :, region.rows, region.columns]
        torch.testing.assert_close(region.positions(found), region.positions(expected))
        assert int((moved[sample, 0] != 0).sum()) <= region.num_cells
    tokens = torch.cat([torch.rand(3, 2, channels, dtype=torch.float64), maps.flatten(2).transpose(1, 2)], dim=1)
    acted = group.act_on_tokens(tokens, torch.cat([first, last, first]), grid)
    assert torch.equal(acted[:, :2], tokens[:, :2])
    assert torch.equal(acted[:, 2:].transpose(1, 2).unflatten(2, (12, 12)), moved)


def test_maps_and_tokens_that_do_not_fit_are_refused() -> None:
    still = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="got 3 tokens for 2 x 2 cells"):
        Translation().act_on_tokens(torch.rand(1, 3, 4), still, Grid(2, 2, 4, 8, 8))
    with pytest.raises(ValueError, match=r"cannot be moved under .* do not tile"):
        Translation(border=Border.CIRCULAR).act_on_maps(torch.rand(1, 3, 2, 2), still, Grid(2, 2, 4, 9, 9))


def test_views_are_made_when_they_are_asked_for() -> None:
    made: list[int] = []

    def make(number: int) -> torch.Tensor:
        made.append(number)
        return torch.full((1, 1, 2, 2), float(number))

    views = Views(4, make)
    assert len(views) == 4
    assert made == []
    assert views[-1].mean() == 3
    assert [view.mean().item() for view in views[1:3]] == [1, 2]
    assert made == [3, 1, 2]
    assert [view.mean().item() for view in views] == [0, 1, 2, 3]
    with pytest.raises(IndexError):
        views[4]
