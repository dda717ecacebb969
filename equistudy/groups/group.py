"""The base of all groups: elements, their actions on images and feature maps, and the conventions of every action."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple, overload

from jaxtyping import Float, Int64

from equistudy.spec import Generator, Spec, Tensor

__all__ = ["Element", "Grid", "Group", "Region", "Views"]


class Element(NamedTuple):
    """One element at which a measure is evaluated: a short name, its size in the group's unit, and its parameters."""

    label: str
    magnitude: float
    parameters: tuple[float, ...]


class Grid(NamedTuple):
    """How a feature map lies over its image: `height` x `width` cells, `stride` pixels apart.

    Along each axis, cell i is centred at pixel stride i + offset. Where the offsets are unknown they are None: such a
    map can be translated, but not rotated about a centre.
    """

    height: int
    width: int
    stride: int
    image_height: int
    image_width: int
    row_offset: float | None = None
    column_offset: float | None = None

    @property
    def centre(self) -> tuple[float, float] | None:
        """Row and column of the image centre in cell coordinates: ((size - 1) / 2 - offset) / stride."""
        if self.row_offset is None or self.column_offset is None:
            return None
        row = ((self.image_height - 1) / 2 - self.row_offset) / self.stride
        return row, ((self.image_width - 1) / 2 - self.column_offset) / self.stride

    @property
    def centre_error(self) -> tuple[float, float] | None:
        """Offset in pixels (rows, columns) from the image centre to the centre of the map; 0 if they coincide.

        Only where it is 0 does rotating or mirroring the array equal the action on the image.
        """
        if self.centre is None:
            return None
        row, column = self.centre
        return self.stride * ((self.height - 1) / 2 - row), self.stride * ((self.width - 1) / 2 - column)


class Region(NamedTuple):
    """The cells of a feature map at which f(g x) and g f(x) both show the same content.

    They lie in a rectangle. If they do not fill it, `spans` gives the half-open range of columns of each row, counted
    from the first column of the rectangle.
    """

    rows: slice
    columns: slice
    spans: tuple[tuple[int, int], ...] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the rectangle; never negative."""
        height, width = (max(0, axis.stop - axis.start) for axis in (self.rows, self.columns))
        return height, width

    @property
    def num_cells(self) -> int:
        """The number of cells."""
        height, width = self.shape
        return height * width if self.spans is None else sum(stop - start for start, stop in self.spans)

    def positions(self, maps: Float[Tensor, "*batch h w"]) -> Float[Tensor, "*batch P"]:
        """The cells of maps that were cropped to the rectangle, flattened."""
        if self.spans is None:
            return maps.flatten(-2)
        return maps.flatten(-2)[..., _span_indices(self.spans, self.shape[1]).to(maps.device)]


@lru_cache(maxsize=1024)
def _span_indices(spans: tuple[tuple[int, int], ...], width: int) -> Int64[Tensor, " P"]:
    """The indices of the cells of the spans in the flattened rectangle."""
    import torch

    return torch.tensor([row * width + column for row, span in enumerate(spans) for column in range(*span)])


class Views(Sequence[Tensor]):
    """Batches of images (B, C, h, w), each made on demand, so that only those in use take memory."""

    def __init__(self, count: int, make: Callable[[int], Tensor]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> list[Tensor]: ...

    def __getitem__(self, index: int | slice) -> Tensor | list[Tensor]:
        if isinstance(index, slice):
            return [self._make(number) for number in range(self._count)[index]]
        return self._make(range(self._count)[index])


@dataclass(frozen=True)
class Group(Spec):
    """Base of the groups: how an element g acts on images and, through a stage's grid, on its feature map.

    Conventions of all groups. Actions are left actions on the content: (g.f)(p) = f(g^-1 p), and (g h).f = g.(h.f).
    Image axes are (B, C, H, W), positions are pixels from the image centre, x to the right and y down. A translation
    (dx, dy) moves the content dx pixels to the right and dy pixels down. A positive rotation turns the content
    counter-clockwise as displayed, `torch.rot90(images, 1, dims=(2, 3))` for 90 degrees. Angles are in degrees,
    translations in pixels, scalings the logarithm of the factor.

    Elements are rows of P parameters. `act` gives each sample its own; a measure evaluates the fixed `elements()`.
    """

    unit: ClassVar[str]

    @property
    def mixed_channels(self) -> int:
        """The number of neighbouring channels that `act_on_features` mixes: 1, unless the group permutes channels."""
        return 1

    def elements(self) -> tuple[Element, ...]:
        """The elements at which a measure is evaluated, in a fixed order and without the identity."""
        raise NotImplementedError

    def sample(self, count: int, rng: Generator) -> Float[Tensor, "N P"]:
        """Random elements, on the device of `rng`."""
        raise NotImplementedError

    def inverse(self, elements: Float[Tensor, "N P"]) -> Float[Tensor, "N P"]:
        """The element that undoes each element."""
        raise NotImplementedError

    def compose(self, first: Float[Tensor, "N P"], second: Float[Tensor, "N P"]) -> Float[Tensor, "N P"]:
        """The products g h of `first` (g) and `second` (h): h acts before g."""
        raise NotImplementedError

    def act(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each image moved by its own element."""
        raise NotImplementedError

    def views(self, images: Float[Tensor, "B C H W"], background: float | None) -> Views:
        """The images to compare, all of one size: x, then g x for each of `elements()`.

        `background` is the value beyond the border, or None if it is unknown. The views may then be smaller than the
        images, so that no view shows pixels that the image does not have.
        """
        raise NotImplementedError

    def obstacle(self, grid: Grid) -> str | None:
        """Why feature maps on this grid cannot be compared under the group; None if they can."""
        raise NotImplementedError

    def without_channel_action(self) -> "Group":
        """The same group without an action on the channels of feature maps."""
        return self

    def channel_obstacle(self, channels: int) -> str | None:
        """Why maps with this number of channels cannot be compared under the group; None if they can."""
        return None

    def region(self, element: Element, grid: Grid, erosion: int) -> Region:
        """The cells at which the map of g x shows content of x, less `erosion` cells at each border."""
        raise NotImplementedError

    def is_grid_aligned(self, element: Element, grid: Grid) -> bool:
        """Whether the element takes cells to cells, so that its action on the map needs no interpolation."""
        raise NotImplementedError

    def act_on_features(
        self, features: Float[Tensor, "B C H W"], element: Element, grid: Grid, region: Region
    ) -> Float[Tensor, "B C h w"]:
        """The feature map of x moved by the element, g f(x), within the region."""
        raise NotImplementedError

    def act_on_points(self, points: Float[Tensor, "B N 2"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B N 2"]:
        """Each set of points (x, y) moved by its own element, in pixels from the image centre, y down.

        Points move with the content of images: what x shows at p, g x shows at g p.
        """
        raise NotImplementedError

    def act_on_maps(
        self, maps: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"], grid: Grid
    ) -> Float[Tensor, "B C H W"]:
        """Each feature map on a grid moved by its own element; cells whose content is unknown are 0."""
        import torch

        obstacle = self.obstacle(grid) or self.channel_obstacle(maps.shape[1])
        if obstacle is not None:
            raise ValueError(f"The maps cannot be moved under {self}: {obstacle}. Choose another layer or group.")
        moved = torch.zeros_like(maps)
        distinct, which = elements.unique(dim=0, return_inverse=True)
        for number, parameters in enumerate(distinct.tolist()):
            element, samples = Element("", 0.0, tuple(parameters)), which == number
            region = self.region(element, grid, 0)
            here = torch.zeros_like(maps[samples])
            cut = here[..., region.rows, region.columns]
            acted = self.act_on_features(maps[samples], element, grid, region)
            shown = torch.zeros(region.shape, dtype=torch.bool, device=maps.device)
            for row, (start, stop) in enumerate(region.spans or ((0, region.shape[1]),) * region.shape[0]):
                shown[row, start:stop] = True
            cut.copy_(torch.where(shown, acted, 0))
            moved[samples] = here
        return moved

    def act_on_tokens(
        self, tokens: Float[Tensor, "B N C"], elements: Float[Tensor, "B P"], grid: Grid
    ) -> Float[Tensor, "B N C"]:
        """Each grid of tokens, in row-major order, moved by its own element; tokens before it (class tokens) stay."""
        import torch

        prefix = tokens.shape[1] - grid.height * grid.width
        if prefix < 0:
            raise ValueError(
                f"Tokens must fill their grid, got {tokens.shape[1]} tokens for {grid.height} x {grid.width} cells. "
                "Give the grid of these tokens."
            )
        maps = tokens[:, prefix:].transpose(1, 2).unflatten(2, (grid.height, grid.width))
        moved = self.act_on_maps(maps, elements, grid)
        return torch.cat([tokens[:, :prefix], moved.flatten(2).transpose(1, 2)], dim=1)
