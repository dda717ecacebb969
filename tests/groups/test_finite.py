"""Finite groups: exact actions, and regular features whose channels move with the group."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from equistudy.groups.finite import ChannelAction, CyclicGroup, DihedralGroup, FiniteGroup, Flip, Reflection
from equistudy.groups.group import Grid
from equistudy.groups.square import Symmetry, apply_symmetry

GROUPS = [CyclicGroup(2), CyclicGroup(4), DihedralGroup(1), DihedralGroup(2), DihedralGroup(4), Reflection()]
GROUPS += [Reflection(flip=Flip.VERTICAL)]
GRID = Grid(15, 15, 1, 15, 15, 0.0, 0.0)


def regular(group: Any) -> Any:
    return type(group)(**{**vars(group), "channel_action": ChannelAction.REGULAR})


def lifted(images: torch.Tensor, kernels: torch.Tensor, group: FiniteGroup) -> torch.Tensor:
    """A lifting convolution: every kernel under every element, the elements next to each other."""
    rows = [Symmetry(int(degrees / 90), bool(mirrored)) for degrees, mirrored in group.element_parameters]
    filters = torch.stack([apply_symmetry(kernels, symmetry) for symmetry in rows], dim=1).flatten(0, 1)
    return conv2d(images, filters, padding=1).relu()


def group_convolved(features: torch.Tensor, kernels: torch.Tensor, group: FiniteGroup) -> torch.Tensor:
    """(f * k)[h] = sum over e of f[e] * h.k[h^-1 e], by the group's own products."""
    rows, outputs = torch.tensor(group.element_parameters), []
    for row in rows:
        inverse = group.inverse(row[None]).expand_as(rows)
        order = (group.compose(inverse, rows)[:, None] == rows).all(dim=-1).long().argmax(dim=1)
        turned = apply_symmetry(kernels[:, :, order], Symmetry(int(row[0] / 90), bool(row[1])))
        outputs.append(conv2d(features, turned.flatten(1, 2), padding=1))
    return torch.stack(outputs, dim=2).flatten(1, 2).relu()


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_group_convolutions_are_equivariant_with_the_channel_action_only(group: Any) -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(4, 2, 15, 15, generator=rng, dtype=torch.float64)
    first = torch.randn(3, 2, 3, 3, generator=rng, dtype=torch.float64)
    second = torch.randn(2, 3, group.order, 3, 3, generator=rng, dtype=torch.float64)
    reference, *views = group.views(images, None)
    for network in (
        lambda x: lifted(x, first, group),
        lambda x: group_convolved(lifted(x, first, group), second, group),
    ):
        features = network(reference)
        for element, view in zip(group.elements(), views, strict=True):
            region = group.region(element, GRID, 0)
            found = network(view)
            expected = regular(group).act_on_features(features, element, GRID, region)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
            assert (found - group.act_on_features(features, element, GRID, region)).abs().max() > 0.5


def test_a_quarter_turn_shifts_the_channels_of_each_field_in_a_circle() -> None:
    features = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 15, 15)
    group = CyclicGroup(4, channel_action=ChannelAction.REGULAR)
    turn = group.elements()[0]
    turned = group.act_on_features(features, turn, GRID, group.region(turn, GRID, 0))
    assert turned[0, :, 0, 0].tolist() == [3, 0, 1, 2, 7, 4, 5, 6]


def test_elements_are_the_symmetries_in_the_order_of_the_channels() -> None:
    assert [element.label for element in CyclicGroup().elements()] == ["90 deg", "180 deg", "270 deg"]
    assert [element.magnitude for element in CyclicGroup().elements()] == [90, 180, 90]
    names = [element.label for element in DihedralGroup().elements()]
    assert names[3:] == ["left-right", "left-right, 90 deg", "top-bottom", "left-right, 270 deg"]
    assert [group.order for group in GROUPS] == [2, 4, 2, 4, 8, 2, 2]


def test_the_actions_are_turns_and_flips_exactly() -> None:
    images = torch.rand(1, 1, 7, 7)
    views = DihedralGroup().views(images, None)
    turns = [torch.rot90(side, turn, dims=(2, 3)) for side in (images, images.flip(3)) for turn in range(4)]
    assert all(torch.equal(view, turned) for view, turned in zip(views, turns, strict=True))
    assert torch.equal(Reflection().act(images, torch.tensor([[0.0, 1.0]])), images.flip(3))
    assert torch.equal(Reflection(flip=Flip.VERTICAL).act(images, torch.tensor([[180.0, 1.0]])), images.flip(2))


def test_samples_are_uniform_over_the_elements() -> None:
    drawn = DihedralGroup().sample(8000, torch.Generator().manual_seed(0))
    values, counts = drawn.unique(dim=0, return_counts=True)
    assert len(values) == 8
    assert (counts - 1000).abs().max() < 130


def test_channels_that_are_no_fields_are_refused() -> None:
    group = CyclicGroup(channel_action=ChannelAction.REGULAR)
    turn = group.elements()[0]
    with pytest.raises(ValueError, match=r"have 4 channels for each field, got 6 channels.*ChannelAction\.IDENTITY"):
        group.act_on_features(torch.rand(1, 6, 15, 15), turn, GRID, group.region(turn, GRID, 0))


@pytest.mark.parametrize(("kind", "rotations"), [(CyclicGroup, 3), (CyclicGroup, 8), (DihedralGroup, 6)])
def test_turns_that_pixels_do_not_follow_are_refused(kind: Any, rotations: int) -> None:
    with pytest.raises(ValueError, match=rf"got rotations={rotations}\. Use Rotation"):
        kind(rotations)


def test_a_plain_convolution_is_not_equivariant_in_either_way() -> None:
    torch.manual_seed(0)
    network, group = nn.Conv2d(1, 8, 3, padding=1), CyclicGroup()
    images, turn = torch.rand(2, 1, 15, 15), group.elements()[0]
    region = group.region(turn, GRID, 0)
    for way in (group, regular(group)):
        expected = way.act_on_features(network(images), turn, GRID, region)
        assert (network(way.views(images, None)[1]) - expected).abs().max() > 0.1


@dataclass(frozen=True)
class Listed(FiniteGroup):
    """A group of a user's own, or what is none."""

    listed: tuple[tuple[float, float], ...] = ((0.0, 0.0),)

    @property
    def element_parameters(self) -> tuple[tuple[float, float], ...]:
        return self.listed


SQUARE = DihedralGroup(4).element_parameters


def test_subsets_are_groups_if_and_only_if_they_are_closed() -> None:
    """All 256 subsets of the symmetries of the square, by the products of torch's own turns and flips: 10 subgroups."""
    probe = torch.arange(9).view(3, 3)
    moved = {row: apply_symmetry(probe, Symmetry(int(row[0] / 90), bool(row[1]))) for row in SQUARE}
    names = {tuple(image.flatten().tolist()): row for row, image in moved.items()}

    def multiply(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
        product = apply_symmetry(moved[second], Symmetry(int(first[0] / 90), bool(first[1])))
        return names[tuple(product.flatten().tolist())]

    found = 0
    for mask in range(256):
        rows = tuple(row for number, row in enumerate(SQUARE) if mask >> number & 1)
        closed = {multiply(a, b) for a in rows for b in rows} <= set(rows)
        if rows and closed:
            assert Listed(listed=rows).order == len(rows)
            found += 1
        else:
            with pytest.raises(ValueError, match=r"as the first element|no .* which is a product of others"):
                Listed(listed=rows)
    assert found == 10


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ((), "none as the first element"),
        (((180.0, 0.0), (0.0, 0.0)), r"\(180.0, 0.0\) as the first element"),
        (((0.0, 0.0), (180.0, 0.0), (180.0, 0.0)), r"\(180.0, 0.0\) twice"),
        (((0.0, 0.0), (360.0, 0.0)), r"0 <= degrees < 360 .* got \(360.0, 0.0\) in"),
        (((0.0, 0.0), (0.0, 2.0)), r"mirrored 0 or 1, .* got \(0.0, 2.0\) in"),
        (((0.0, 0.0), (90.0, 0.0)), r"no \(180.0, 0.0\), which is a product of others"),
        (((0.0, 0.0), (0.0, 1.0), (180.0, 1.0)), r"no \(180.0, 0.0\), which is a product"),
    ],
)
def test_what_is_no_group_is_refused_when_it_is_made(rows: tuple[tuple[float, float], ...], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Listed(listed=rows)
