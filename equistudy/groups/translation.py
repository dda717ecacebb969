"""Translations by whole pixels: windows of a larger image, circular shifts, or zero padding."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from math import ceil
from typing import ClassVar

from jaxtyping import Float

from equistudy.groups.group import Element, Grid, Group, Region, Views
from equistudy.spec import Generator, Tensor

__all__ = ["Border", "Translation", "TranslationGroup"]


class Border(Enum):
    """What enters at the border when the content moves.

    WINDOW: real content, because a window moves over a larger image: over the image extended by its background, or over
    the image itself with a smaller window. CIRCULAR: what left on the other side. ZERO: black, at the same size.
    """

    WINDOW = "window"
    CIRCULAR = "circular"
    ZERO = "zero"


@dataclass(frozen=True)
class TranslationGroup(Group):
    """Base of the translations, by whole pixels or by fractions: parameters (dx, dy), dx to the right, dy down."""

    unit: ClassVar[str] = "px"

    @property
    def border(self) -> Border:
        """What enters at the border."""
        raise NotImplementedError

    def _elements_along_axes(self, shifts: Iterable[float]) -> tuple[Element, ...]:
        """The elements that shift along x and along y by each number of pixels."""
        pairs = (
            (Element(f"dx={shift:g}", size, (float(shift), 0.0)), Element(f"dy={shift:g}", size, (0.0, float(shift))))
            for shift, size in ((shift, float(abs(shift))) for shift in shifts)
        )
        return tuple(element for pair in pairs for element in pair)

    def inverse(self, elements: Float[Tensor, "N 2"]) -> Float[Tensor, "N 2"]:
        """The opposite shifts."""
        return -elements

    def compose(self, first: Float[Tensor, "N 2"], second: Float[Tensor, "N 2"]) -> Float[Tensor, "N 2"]:
        """The sums of the shifts."""
        return first + second

    def act_on_points(self, points: Float[Tensor, "B N 2"], elements: Float[Tensor, "B 2"]) -> Float[Tensor, "B N 2"]:
        """Each set of points moved by its own shift; points may leave the image, also with CIRCULAR."""
        return points + elements[:, None].to(points)

    def obstacle(self, grid: Grid) -> str | None:
        """With CIRCULAR, the cells of the map must tile the image."""
        tiles = (grid.height * grid.stride, grid.width * grid.stride) == (grid.image_height, grid.image_width)
        if self.border is Border.CIRCULAR and not tiles:
            return (
                f"{grid.height} x {grid.width} cells of {grid.stride} pixels do not tile the image of "
                f"{grid.image_height} x {grid.image_width}, so the map cannot be shifted circularly"
            )
        return None

    def is_grid_aligned(self, element: Element, grid: Grid) -> bool:
        """Whether the stride divides the shift."""
        return all(shift % grid.stride == 0 for shift in element.parameters)


@dataclass(frozen=True)
class Translation(TranslationGroup):
    """Shifts of the content by whole pixels, parameters (dx, dy): dx to the right, dy down.

    A measure is evaluated at the shifts along x and along y by each of `pixels`, by default 1 ... max_pixels. Random
    elements have dx and dy uniform over the integers of [-max_pixels, max_pixels].

    On a feature map of stride s, a shift by d pixels is a shift by d / s cells: a copy of cells where s divides d
    (`is_grid_aligned`), and otherwise a linear interpolation between two cells, whose error adds to that of aliasing.
    With WINDOW and ZERO only cells that both maps show are compared, less the erosion at each border; with CIRCULAR
    every cell is compared, because nothing enters or leaves.

    >>> import equistudy as eq
    >>> [element.label for element in eq.Translation(max_pixels=4, pixels=(4,)).elements()]
    ['dx=4', 'dy=4']
    """

    max_pixels: int = 4
    border: Border = Border.WINDOW
    pixels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels must be at least 1, got max_pixels={self.max_pixels}.")
        shifts = self.pixels if self.pixels is not None else (1,)
        if not shifts or 0 in shifts or len(set(shifts)) != len(shifts):
            raise ValueError(
                f"pixels must be one or more distinct shifts other than 0, got pixels={self.pixels}. "
                "Leave it None for 1 ... max_pixels."
            )
        if max(abs(shift) for shift in shifts) > self.max_pixels:
            raise ValueError(
                f"pixels must lie within max_pixels={self.max_pixels}, got pixels={self.pixels}. "
                f"Raise max_pixels to {max(abs(shift) for shift in shifts)}."
            )

    def elements(self) -> tuple[Element, ...]:
        """The shifts along x and along y by each number of pixels."""
        shifts = self.pixels if self.pixels is not None else range(1, self.max_pixels + 1)
        return self._elements_along_axes(shifts)

    def sample(self, count: int, rng: Generator) -> Float[Tensor, "N 2"]:
        """Shifts with dx and dy uniform over the integers of [-max_pixels, max_pixels]."""
        import torch

        size = (count, 2)
        shifts = torch.randint(-self.max_pixels, self.max_pixels + 1, size, generator=rng, device=rng.device)
        return shifts.to(torch.get_default_dtype())

    def act(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 2"]) -> Float[Tensor, "B C H W"]:
        """Each image moved by its own whole pixels, exactly; with WINDOW and ZERO, black enters at the border."""
        import torch

        shifts = elements.to(images.device).round().long()
        if not torch.equal(shifts.to(elements), elements):
            raise ValueError(
                "A Translation moves images by whole pixels, got fractions of a pixel. "
                "Use SubpixelTranslation to interpolate."
            )
        (height, width), (dx, dy) = images.shape[-2:], shifts.unbind(dim=1)
        rows = torch.arange(height, device=images.device) - dy[:, None]
        columns = torch.arange(width, device=images.device) - dx[:, None]
        samples = torch.arange(len(images), device=images.device)[:, None, None]
        moved = images.permute(0, 2, 3, 1)[samples, rows[:, :, None] % height, columns[:, None, :] % width]
        if self.border is not Border.CIRCULAR:
            seen = (rows == rows % height)[:, :, None] & (columns == columns % width)[:, None, :]
            moved = torch.where(seen[..., None], moved, torch.zeros((), dtype=moved.dtype, device=moved.device))
        return moved.permute(0, 3, 1, 2).contiguous()

    def views(self, images: Float[Tensor, "B C H W"], background: float | None) -> Views:
        """The image and the moved images; WINDOW without a background cuts windows smaller by the largest shifts."""
        import torch

        shifts = [(0, 0), *((int(dx), int(dy)) for _, _, (dx, dy) in self.elements())]
        if self.border is Border.CIRCULAR:
            return Views(len(shifts), lambda number: torch.roll(images, shifts[number][::-1], dims=(2, 3)))
        left, top = (max(shift[axis] for shift in shifts) for axis in (0, 1))
        right, bottom = (-min(shift[axis] for shift in shifts) for axis in (0, 1))
        outside = 0.0 if self.border is Border.ZERO else background
        source = images
        if outside is not None:
            source = torch.nn.functional.pad(images, (left, right, top, bottom), value=outside)
        height, width = source.shape[-2] - top - bottom, source.shape[-1] - left - right
        seen = images.shape[-2] > max(top, bottom) and images.shape[-1] > max(left, right)
        if not seen or height < 1 or width < 1:
            raise ValueError(
                "Shifts must leave part of each image in view, "
                f"got images of {images.shape[-2]} x {images.shape[-1]} pixels for {self}. Use smaller shifts."
            )

        def window(number: int) -> Tensor:  # content that moves by +d is a window that moves by -d
            dx, dy = shifts[number]
            return source[..., top - dy : top - dy + height, left - dx : left - dx + width]

        return Views(len(shifts), window)

    def region(self, element: Element, grid: Grid, erosion: int) -> Region:
        """The overlap of both maps less the erosion; every cell with CIRCULAR."""
        if self.border is Border.CIRCULAR:
            return Region(slice(0, grid.height), slice(0, grid.width))
        dx, dy = (int(shift) for shift in element.parameters)
        return Region(
            _overlapping_cells(dy, grid.stride, grid.height, erosion),
            _overlapping_cells(dx, grid.stride, grid.width, erosion),
        )

    def act_on_features(
        self, features: Float[Tensor, "B C H W"], element: Element, grid: Grid, region: Region
    ) -> Float[Tensor, "B C h w"]:
        """The map moved by d / stride cells, interpolated linearly if that is not a whole number."""
        dx, dy = (int(shift) for shift in element.parameters)
        moved = _shift_along_axis(features, -2, dy, grid.stride, region.rows)
        return _shift_along_axis(moved, -1, dx, grid.stride, region.columns)


def _overlapping_cells(shift: int, stride: int, size: int, erosion: int) -> slice:
    """Cells i of a map of `size` for which i and i - shift / stride both lie inside, `erosion` cells off the border."""
    ahead, behind = ceil(shift / stride), ceil(-shift / stride)
    return slice(max(ahead, 0) + erosion, size - max(behind, 0) - erosion)


def _shift_along_axis(
    features: Float[Tensor, "B C H W"], axis: int, shift: int, stride: int, cells: slice
) -> Float[Tensor, "B C h w"]:
    """The cells of the map moved by shift / stride along one axis, wrapping around at the border."""
    whole, rest = divmod(shift, stride)
    near = _read_shifted_cells(features, axis, cells, whole)
    if rest == 0:
        return near
    weight = rest / stride
    return near * (1 - weight) + _read_shifted_cells(features, axis, cells, whole + 1) * weight


def _read_shifted_cells(
    features: Float[Tensor, "B C H W"], axis: int, cells: slice, shift: int
) -> Float[Tensor, "B C h w"]:
    """The values at cells - shift: a view where they lie inside the map, a copy where they wrap around."""
    import torch

    size = features.shape[axis]
    start, length = cells.start - shift, cells.stop - cells.start
    if start >= 0 and start + length <= size:
        return features.narrow(axis, start, length)
    return torch.roll(features, shift, dims=axis).narrow(axis, cells.start, length)
