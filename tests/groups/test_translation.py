"""Translations: group axioms, windows without seams, and feature maps that move with their images."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from equistudy.groups.group import Element, Grid, Group
from equistudy.groups.subpixel import SubpixelTranslation
from equistudy.groups.translation import Border, Translation

SHIFTS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=3)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@settings(max_examples=25, deadline=None)
@given(SHIFTS, SHIFTS)
def test_circular_shifts_are_a_group(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    group, images = Translation(border=Border.CIRCULAR), noise(3, 2, 5, 7)
    g, h = torch.tensor(first).float(), torch.tensor(second).float()
    assert torch.equal(group.act(images, torch.zeros(3, 2)), images)
    assert torch.equal(group.act(group.act(images, g), group.inverse(g)), images)
    assert torch.equal(group.act(group.act(images, h), g), group.act(images, g + h))


def test_content_moves_right_and_down_each_sample_by_its_own() -> None:
    images = torch.zeros(2, 1, 6, 6)
    images[:, :, 2, 2] = 1.0
    moved = Translation(border=Border.ZERO).act(images, torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    assert moved[0].nonzero().tolist() == [[0, 2, 4]]
    assert moved[1].nonzero().tolist() == [[0, 5, 2]]
    assert moved.sum() == 2


def test_what_leaves_is_lost_with_zeros_and_returns_in_a_circle() -> None:
    images, shift = noise(1, 1, 4, 4) + 1, torch.tensor([[3.0, 0.0]])
    assert (Translation(border=Border.ZERO).act(images, shift)[..., :3] == 0).all()
    assert torch.equal(Translation(border=Border.CIRCULAR).act(images, shift), torch.roll(images, 3, dims=3))


def test_half_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="whole pixels"):
        Translation().act(noise(1, 1, 4, 4), torch.tensor([[0.5, 0.0]]))


def test_samples_are_uniform_over_the_integer_shifts() -> None:
    drawn = Translation(max_pixels=2).sample(5000, torch.Generator().manual_seed(0))
    values, counts = drawn.unique(return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert (counts - 2000).abs().max() < 200


def test_elements_are_shifts_along_both_axes() -> None:
    assert [element.label for element in Translation(max_pixels=2).elements()] == ["dx=1", "dy=1", "dx=2", "dy=2"]
    elements = Translation(max_pixels=32, pixels=(-32, 4)).elements()
    assert elements[0] == Element("dx=-32", 32, (-32, 0))
    assert elements[3] == Element("dy=4", 4, (0, 4))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_pixels": 0}, "at least 1"),
        ({"pixels": ()}, "one or more"),
        ({"pixels": (0, 1)}, "other than 0"),
        ({"pixels": (2, 2)}, "distinct"),
        ({"pixels": (1, -8)}, "Raise max_pixels to 8"),
    ],
)
def test_impossible_shifts_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Translation(**arguments)


@pytest.mark.parametrize("background", [None, 0.25])
@pytest.mark.parametrize("pixels", [None, (-3, 2)])
def test_windows_show_the_same_content_without_zeros_or_seam(background: float | None, pixels: tuple | None) -> None:
    images = noise(2, 3, 12, 14) + 1
    group = Translation(max_pixels=4, pixels=pixels)
    reference, *moved = group.views(images, background)
    if background is not None:
        assert torch.equal(reference, images)
    for element, view in zip(group.elements(), moved, strict=True):
        dx, dy = (int(shift) for shift in element.parameters)
        assert view.shape == reference.shape
        rows, columns = slice(max(dy, 0), view.shape[2] + min(dy, 0)), slice(max(dx, 0), view.shape[3] + min(dx, 0))
        assert torch.equal(view[..., rows, columns], torch.roll(reference, (dy, dx), dims=(2, 3))[..., rows, columns])
        if background is None:
            assert (view > 0).all()
        elif dx > 0:
            assert (view[..., :dx] == background).all()


def test_windows_without_a_background_are_smaller_than_the_image() -> None:
    assert Translation(max_pixels=4).views(noise(1, 1, 12, 14), None)[0].shape == (1, 1, 8, 10)
    assert Translation(max_pixels=4, pixels=(-4, 1)).views(noise(1, 1, 12, 14), None)[0].shape == (1, 1, 7, 9)
    with pytest.raises(
        ValueError, match=r"Shifts must leave part of each image in view, got images of 12 x 14 pixels for"
    ):
        Translation(max_pixels=12).views(noise(1, 1, 12, 14), None)


@pytest.mark.parametrize(
    ("largest", "empty"),
    [
        (Translation(11, pixels=(11,)), Translation(12, pixels=(12,))),
        (Translation(11, Border.ZERO, (11,)), Translation(12, Border.ZERO, (-12,))),
        (SubpixelTranslation((11.5,), Border.WINDOW), SubpixelTranslation((12.0,), Border.WINDOW)),
    ],
)
def test_shifts_that_show_nothing_of_an_image_are_refused(largest: Group, empty: Group) -> None:
    """A slip such as max_pixels=2000 would compare thousands of empty images, for hours."""
    assert len(list(largest.views(noise(1, 1, 12, 12), 0.0))) == 3
    with pytest.raises(ValueError, match=r"got images of 12 x 12 pixels for .*Use smaller shifts"):
        empty.views(noise(1, 1, 12, 12), 0.0)


def test_zero_and_circular_views_keep_the_size() -> None:
    images = noise(1, 1, 6, 6) + 1
    circular = Translation(max_pixels=2, border=Border.CIRCULAR).views(images, None)
    zero = Translation(max_pixels=2, border=Border.ZERO).views(images, 0.5)
    assert torch.equal(circular[3], torch.roll(images, 2, dims=3))
    assert torch.equal(zero[4][..., 2:, :], images[..., :-2, :])
    assert (zero[4][..., :2, :] == 0).all()


@pytest.mark.parametrize(
    ("border", "shift"),
    [*((Border.WINDOW, shift) for shift in (-5, -4, -1, 1, 2, 4, 6, 8)), (Border.CIRCULAR, 4), (Border.CIRCULAR, -8)],
)
def test_features_move_with_their_images(border: Border, shift: int) -> None:
    # A linear ramp is what linear interpolation keeps exactly, so pooled ramps oracle the fractional shifts too.
    group = Translation(max_pixels=8, pixels=(shift,), border=border)
    ramp = torch.arange(32.0).expand(1, 1, 32, 32) / 8 + torch.arange(32.0)[:, None]
    reference, along_x, along_y = group.views(ramp, None)
    pooled, height, width = functional.avg_pool2d(reference, 4), *reference.shape[2:]
    grid = Grid(*pooled.shape[2:], 4, height, width)
    for element, view in zip(group.elements(), (along_x, along_y), strict=True):
        region = group.region(element, grid, 0)
        assert group.is_grid_aligned(element, grid) == (shift % 4 == 0)
        expected = functional.avg_pool2d(view, 4)[..., region.rows, region.columns]
        actual = group.act_on_features(pooled, element, grid, region)
        torch.testing.assert_close(actual, expected)


def test_the_region_is_the_overlap_less_the_erosion() -> None:
    group, grid = Translation(max_pixels=8), Grid(7, 7, 4, 28, 28)
    for shift, shape in ((4, (5, 4)), (1, (5, 4)), (8, (5, 3)), (-4, (5, 4)), (-5, (5, 3))):
        assert group.region(Element("", 1, (shift, 0)), grid, 1).shape == shape
        assert group.region(Element("", 1, (0, shift)), grid, 1).shape == shape[::-1]
    assert group.region(Element("", 1, (4, 0)), grid, 1).columns == slice(2, 6)
    assert group.region(Element("", 1, (-4, 0)), grid, 1).columns == slice(1, 5)
    assert group.region(Element("", 1, (32, 0)), grid, 1).shape == (5, 0)


def test_a_circle_needs_cells_that_tile_the_image() -> None:
    circular = Translation(border=Border.CIRCULAR)
    assert circular.obstacle(Grid(7, 7, 4, 28, 28)) is None
    assert "do not tile" in str(circular.obstacle(Grid(7, 7, 4, 25, 25)))
    assert Translation().obstacle(Grid(7, 7, 4, 25, 25)) is None
