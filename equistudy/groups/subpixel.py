"""Translations by fractions of a pixel: circular and exact for band-limited images, or windowed by Lanczos."""

from dataclasses import dataclass
from math import ceil, isfinite

from jaxtyping import Float

from equistudy.groups.group import Element, Grid, Region, Views
from equistudy.groups.translation import Border, TranslationGroup
from equistudy.spec import Generator, Tensor

__all__ = ["SubpixelTranslation"]

KERNEL_RADIUS = 3  # cells that the windowed sinc needs on each side


@dataclass(frozen=True)
class SubpixelTranslation(TranslationGroup):
    """Shifts of the content by any number of pixels, parameters (dx, dy): dx to the right, dy down.

    A measure is evaluated at the shifts along x and along y by each of `pixels`. Random elements have dx and dy uniform
    on [-largest, largest].

    CIRCULAR shifts images and maps by the phases of their Fourier transform. Band-limited content moves exactly, so
    circular convolutions without strides remain exactly equivariant, and any loss is aliasing: from strides, and from
    ReLUs, which create frequencies above the Nyquist limit. WINDOW resamples a window of a larger image with Lanczos'
    windowed sinc over six pixels, and maps over six cells. Only cells whose six sources lie inside are compared, so
    maps of fewer than 10 cells are too small. Shifts by whole cells are copies (`is_grid_aligned`).

    Source: Karras et al. 2021, "Alias-free generative adversarial networks", arXiv:2106.12423 (sub-pixel translation
    of images by Lanczos, a = 3).

    >>> import equistudy as eq
    >>> [element.label for element in eq.SubpixelTranslation((0.5,)).elements()]
    ['dx=0.5', 'dy=0.5']
    """

    pixels: tuple[float, ...] = (0.25, 0.5)
    border: Border = Border.CIRCULAR

    def __post_init__(self) -> None:
        if self.border is Border.ZERO:
            raise ValueError(
                "Fractional shifts need Border.WINDOW or Border.CIRCULAR, got border=ZERO. Choose one of the two."
            )
        distinct = len(set(self.pixels)) == len(self.pixels) > 0
        if not distinct or 0 in self.pixels or not all(isfinite(shift) for shift in self.pixels):
            raise ValueError(
                f"pixels must be one or more distinct finite shifts other than 0, got pixels={self.pixels}. "
                "For example pixels=(0.25, 0.5)."
            )

    @property
    def largest(self) -> float:
        """The largest shift, in pixels."""
        return max(abs(shift) for shift in self.pixels)

    def elements(self) -> tuple[Element, ...]:
        """The shifts along x and along y by each number of pixels."""
        return self._elements_along_axes(self.pixels)

    def sample(self, count: int, rng: Generator) -> Float[Tensor, "N 2"]:
        """Shifts with dx and dy uniform on [-largest, largest]."""
        import torch

        return (2 * torch.rand(count, 2, generator=rng, device=rng.device) - 1) * self.largest

    def act(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 2"]) -> Float[Tensor, "B C H W"]:
        """Each image moved by its own shift; with WINDOW, black enters at the border."""
        return self._shift_maps(images, elements.to(images.device), 1)

    def views(self, images: Float[Tensor, "B C H W"], background: float | None) -> Views:
        """The image and the moved images; WINDOW without a background crops by the largest shifts."""
        import torch

        elements = self.elements()

        def moved(images: Tensor, number: int) -> Tensor:
            if number == 0:
                return images
            parameters = images.new_tensor(elements[number - 1].parameters, dtype=torch.float64)
            return self.act(images, parameters.expand(len(images), 2))

        if self.border is Border.CIRCULAR:
            return Views(1 + len(elements), lambda number: moved(images, number))
        margin, source = ceil(self.largest) + KERNEL_RADIUS, images
        if background is not None:
            source = torch.nn.functional.pad(images, (margin,) * 4, value=background)
        if min(source.shape[-2:]) <= 2 * margin or min(images.shape[-2:]) <= self.largest:
            raise ValueError(
                f"Border.WINDOW needs images larger than the shifts plus {KERNEL_RADIUS} pixels on each side, "
                f"got images of {images.shape[-2]} x {images.shape[-1]} pixels for {self}. "
                "Use smaller shifts or Border.CIRCULAR."
            )
        inside = (..., slice(margin, -margin), slice(margin, -margin))
        return Views(1 + len(elements), lambda number: moved(source, number)[inside])

    def region(self, element: Element, grid: Grid, erosion: int) -> Region:
        """The cells whose sources all lie in the map, less the erosion; every cell with CIRCULAR."""
        if self.border is Border.CIRCULAR:
            return Region(slice(0, grid.height), slice(0, grid.width))
        dx, dy = element.parameters
        return Region(
            _comparable_cells(dy / grid.stride, grid.height, erosion),
            _comparable_cells(dx / grid.stride, grid.width, erosion),
        )

    def act_on_features(
        self, features: Float[Tensor, "B C H W"], element: Element, grid: Grid, region: Region
    ) -> Float[Tensor, "B C h w"]:
        """The map moved by d / stride cells."""
        import torch

        parameters = torch.tensor(element.parameters, dtype=torch.float64, device=features.device)
        return self._shift_maps(features, parameters.expand(len(features), 2), grid.stride)[
            ..., region.rows, region.columns
        ]

    def _shift_maps(self, maps: Float[Tensor, "B C H W"], pixels: Float[Tensor, "B 2"], stride: int) -> Tensor:
        """The maps of a stride moved, each by its own pixels."""
        import torch

        from equistudy.groups.resampling import fourier_shift, lanczos_shift

        exact = maps if maps.dtype in (torch.float32, torch.float64) else maps.float()
        for axis, along in ((-1, pixels[:, 0]), (-2, pixels[:, 1])):
            cells = (along / stride).to(exact.dtype)
            if not cells.any():
                continue
            if self.border is Border.WINDOW:
                exact = lanczos_shift(exact, cells, axis)
            elif (cells == cells[0]).all() and float(cells[0]).is_integer():
                exact = torch.roll(exact, int(cells[0]), axis)
            else:
                exact = fourier_shift(exact, cells, axis)
        return exact.to(maps.dtype)


def _comparable_cells(shift: float, size: int, erosion: int) -> slice:
    """Cells i of a map of `size` such that i and the sources of i - shift lie `erosion` cells off the border."""
    whole = ceil(shift)
    before, after = (whole, -whole) if whole == shift else (whole + KERNEL_RADIUS - 1, KERNEL_RADIUS - whole)
    return slice(max(before, 0) + erosion, size - max(after, 0) - erosion)
