"""What a group is: elements that act on images and on feature maps, and the conventions of every action."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from jaxtyping import Float

from equistudy.spec import Generator, Spec, Tensor

__all__ = ["Element", "Grid", "Group", "Region"]


class Element(NamedTuple):
    """One element at which a measure is evaluated: a short name, its size in the group's unit, and its parameters."""

    label: str
    magnitude: float
    parameters: tuple[float, ...]


class Grid(NamedTuple):
    """How a feature map lies over its image: `height` x `width` cells, each `stride` pixels apart."""

    height: int
    width: int
    stride: int
    image_height: int
    image_width: int


class Region(NamedTuple):
    """The cells of a feature map at which f(g x) and g f(x) both show the same content."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns in the region; never negative."""
        height, width = (max(0, axis.stop - axis.start) for axis in (self.rows, self.columns))
        return height, width


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

    def elements(self) -> tuple[Element, ...]:
        """The elements at which a measure is evaluated, in a fixed order; the identity is not among them."""
        raise NotImplementedError

    def sample(self, count: int, rng: Generator) -> Float[Tensor, "N P"]:
        """Random elements, on the device of `rng`."""
        raise NotImplementedError

    def inverse(self, elements: Float[Tensor, "N P"]) -> Float[Tensor, "N P"]:
        """The element that undoes each element."""
        raise NotImplementedError

    def act(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B P"]) -> Float[Tensor, "B C H W"]:
        """Each image moved by its own element."""
        raise NotImplementedError

    def views(self, images: Float[Tensor, "B C H W"], background: float | None) -> list[Float[Tensor, "B C h w"]]:
        """The images to compare: x, then g x for each of `elements()`, all of one size.

        `background` continues the images beyond their border where it is known. Without it the views may be smaller
        than the images, so that no view shows what was never seen.
        """
        raise NotImplementedError

    def obstacle(self, grid: Grid) -> str | None:
        """Why feature maps on this grid cannot be compared under the group, or None."""
        raise NotImplementedError

    def region(self, element: Element, grid: Grid, erosion: int) -> Region:
        """The cells of the map of g x at which it shows the content of x, less `erosion` cells at each border."""
        raise NotImplementedError

    def grid_aligned(self, element: Element, grid: Grid) -> bool:
        """Whether the element maps cells to cells, so that its action on the map needs no interpolation."""
        raise NotImplementedError

    def act_on_features(
        self, features: Float[Tensor, "B C H W"], element: Element, grid: Grid, region: Region
    ) -> Float[Tensor, "B C h w"]:
        """The feature map of x moved by the element, g f(x), within the region."""
        raise NotImplementedError
