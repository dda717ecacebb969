"""The words of a group, and its axioms for every group that the package has."""

import pkgutil
from importlib import import_module
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import equistudy.groups
from equistudy.groups.group import Grid, Group, Region
from equistudy.groups.translation import Border, Translation

for found in pkgutil.iter_modules(equistudy.groups.__path__):
    import_module(f"equistudy.groups.{found.name}")


def leaves(kind: type) -> list[type]:
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    return below or [kind]


GROUPS: list[Any] = [Translation(border=Border.CIRCULAR) if kind is Translation else kind() for kind in leaves(Group)]


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
