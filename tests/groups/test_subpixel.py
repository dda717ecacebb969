"""Translations by fractions: exact in a circle for what pixels hold, windows without seams, maps that follow."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

from equistudy.groups.group import Element, Grid
from equistudy.groups.subpixel import SubpixelTranslation
from equistudy.groups.translation import Border, Translation


def smooth(size: int = 48) -> torch.Tensor:
    noise = torch.rand(2, 1, size + 12, size + 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return avg_pool2d(avg_pool2d(avg_pool2d(noise, 5, 1), 5, 1), 5, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pixels": ()}, "one or more"),
        ({"pixels": (0.0,)}, "other than 0"),
        ({"pixels": (0.5, 0.5)}, "distinct"),
        ({"pixels": (float("nan"),)}, "finite"),
        ({"border": Border.ZERO}, r"need Border\.WINDOW or Border\.CIRCULAR, got border=ZERO"),
    ],
)
def test_impossible_shifts_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SubpixelTranslation(**arguments)


@pytest.mark.parametrize("border", [Border.CIRCULAR, Border.WINDOW])
def test_whole_shifts_are_those_of_a_translation(border: Border) -> None:
    images, shifts = smooth(), torch.tensor([[2.0, 0.0], [-1.0, 3.0]], dtype=torch.float64)
    fine, whole = SubpixelTranslation(border=border).act(images, shifts), Translation(border=border).act(images, shifts)
    torch.testing.assert_close(fine, whole, rtol=0, atol=1e-12)
    grid, (right, _) = Grid(12, 12, 4, 48, 48), Translation(8, border, (8,)).elements()
    groups = (SubpixelTranslation((8.0,), border), Translation(8, border, (8,)))
    regions = [group.region(right, grid, 1) for group in groups]
    assert regions[0] == regions[1]
    maps = [group.act_on_features(avg_pool2d(images, 4), right, grid, regions[0]) for group in groups]
    assert torch.equal(maps[0], maps[1])
    assert groups[0].is_grid_aligned(right, grid)


def test_windows_show_the_same_content_without_zeros_or_seam() -> None:
    group = SubpixelTranslation((0.5, -1.25), Border.WINDOW)
    images = smooth()
    for background in (None, 0.5):
        reference, *views = group.views(images, background)
        assert torch.equal(reference, images if background is not None else images[..., 5:-5, 5:-5])
        for element, view in zip(group.elements(), views, strict=True):
            back = group.act(view, -torch.tensor([element.parameters]).double().expand(2, 2))
            torch.testing.assert_close(
                back[..., 9:-9, 9:-9], reference[..., 9:-9, 9:-9], rtol=0, atol=0.1 * images.std().item()
            )
            assert view.min() > 0.1
    with pytest.raises(ValueError, match=r"images of 8 x 8 pixels .* Use smaller shifts or Border\.CIRCULAR"):
        group.views(images[..., :8, :8], None)


@pytest.mark.parametrize("border", [Border.CIRCULAR, Border.WINDOW])
def test_features_move_with_their_images(border: Border) -> None:
    group = SubpixelTranslation((0.5, 3.0), border)
    blur = torch.fft.fft2(smooth(50 if border is Border.CIRCULAR else 66))
    blur[..., 8:-7, :] = blur[..., 8:-7] = 0  # no finer than the cells of stride 2 can show
    images = torch.fft.ifft2(blur).real
    reference, *views = group.views(images, None)
    maps, size = reference[..., ::2, ::2], reference.shape[-1]
    grid = Grid(*maps.shape[2:], 2, size, size, 0.0, 0.0)
    for element, view in zip(group.elements(), views, strict=True):
        assert not group.is_grid_aligned(element, grid)
        region = group.region(element, grid, 0)
        expected = view[..., ::2, ::2][..., region.rows, region.columns]
        actual = group.act_on_features(maps, element, grid, region)
        spread = images.std().item()
        torch.testing.assert_close(
            actual, expected, rtol=0, atol=(1e-12 if border is Border.CIRCULAR else 0.05) * spread
        )


def test_the_region_holds_every_source_of_a_cell() -> None:
    group = SubpixelTranslation((0.5,), Border.WINDOW)
    grid = Grid(16, 16, 2, 32, 32)
    assert group.region(Element("", 1, (0.5, 0.0)), grid, 1).columns == slice(4, 13)
    assert group.region(Element("", 1, (-0.5, 0.0)), grid, 1).columns == slice(3, 12)
    assert group.region(Element("", 1, (4.0, 0.0)), grid, 0).columns == slice(2, 16)
    assert group.obstacle(Grid(7, 7, 4, 25, 25)) is None
    assert "do not tile" in str(SubpixelTranslation().obstacle(Grid(7, 7, 4, 25, 25)))
