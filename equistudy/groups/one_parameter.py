"""Groups of one parameter t: affine ones, with elements exp(t A), and gains of all values that a network sees."""

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, isfinite, log, pi
from typing import ClassVar

from jaxtyping import Float

from equistudy.groups.affine_group import AffineGroup
from equistudy.groups.group import Element, Grid, Group, Views
from equistudy.spec import Generator, Tensor

__all__ = [
    "FactorGroup",
    "HyperbolicRotation",
    "OneParameterGroup",
    "Rotation",
    "Saturation",
    "Scaling",
    "Shear",
    "Stretch",
]

MatrixRow = tuple[float, float, float]


@dataclass(frozen=True)
class OneParameterGroup(AffineGroup):
    """Base of the groups exp(t A): content at (x, y) from the centre moves with velocity A (x, y, 1) at t = 0.

    `GENERATOR` is A, whose third row is 0; `RATE` is t for one unit of the parameter. Composing elements adds their
    parameters. `matrices` is differentiable in the parameters.
    """

    GENERATOR: ClassVar[tuple[MatrixRow, MatrixRow, MatrixRow]]
    RATE: ClassVar[float] = 1.0

    @property
    def largest(self) -> float:
        """The largest magnitude of the elements."""
        return max(element.magnitude for element in self.elements())

    def sample(self, count: int, rng: Generator) -> Float[Tensor, "N 1"]:
        """Parameters uniform on [-largest, largest]."""
        import torch

        return (2 * torch.rand(count, 1, generator=rng, device=rng.device) - 1) * self.largest

    def inverse(self, elements: Float[Tensor, "N 1"]) -> Float[Tensor, "N 1"]:
        """The opposite parameters."""
        return -elements

    def compose(self, first: Float[Tensor, "N 1"], second: Float[Tensor, "N 1"]) -> Float[Tensor, "N 1"]:
        """The sums of the parameters."""
        return first + second

    def matrices(self, elements: Float[Tensor, "N 1"]) -> Float[Tensor, "N 2 3"]:
        """exp(-t A), because a warp needs the map from output to input."""
        import torch

        # In float64, so that 90 degrees gives 1e-16 in place of float32's 1e-7.
        generator = torch.tensor(self.GENERATOR, dtype=torch.float64, device=elements.device)
        exponents = -self.RATE * elements.double()[..., None] * generator
        return torch.linalg.matrix_exp(exponents)[:, :2].to(elements.dtype)


@dataclass(frozen=True)
class Rotation(OneParameterGroup):
    """Rotations of the content about the image centre, counter-clockwise as displayed, parameter in degrees.

    Multiples of 90 degrees are exact (`torch.rot90`). If `degrees` contains any other angle, all images are masked to
    their inscribed disk. Images that are not square are cropped to their central square.

    >>> import equistudy as eq
    >>> [element.label for element in eq.Rotation((90.0, 180.0)).elements()]
    ['90 deg', '180 deg']
    """

    unit: ClassVar[str] = "deg"
    GENERATOR = ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    RATE = pi / 180
    ROUND = True

    degrees: tuple[float, ...] = (90.0, 180.0, 270.0)

    def __post_init__(self) -> None:
        _check_values(
            "degrees", self.degrees, lambda angle: angle % 360 == 0, "no multiples of 360", "(90.0, 180.0, 270.0)"
        )

    @property
    def largest(self) -> float:
        """The largest angle, at most 180 degrees, which covers all rotations."""
        return min(180.0, super().largest)

    def elements(self) -> tuple[Element, ...]:
        """The rotation by each of `degrees`."""
        return tuple(Element(f"{angle:g} deg", abs(float(angle)), (float(angle),)) for angle in self.degrees)


@dataclass(frozen=True)
class FactorGroup(OneParameterGroup):
    """Base of the groups whose elements are factors; the parameter is the logarithm of the factor."""

    unit: ClassVar[str] = "log factor"
    PREFIX: ClassVar[str] = "x"

    factors: tuple[float, ...] = (0.8, 1.25)

    def __post_init__(self) -> None:
        _check_values(
            "factors", self.factors, lambda factor: factor <= 0 or factor == 1, "positive, not 1", "(0.8, 1.25)"
        )

    def elements(self) -> tuple[Element, ...]:
        """The element of each of `factors`."""
        logs = ((factor, log(factor)) for factor in self.factors)
        return tuple(Element(f"{self.PREFIX}{factor:g}", abs(size), (size,)) for factor, size in logs)


@dataclass(frozen=True)
class Scaling(FactorGroup):
    """Scalings of the content about the centre by `factors`; the parameter is the logarithm of the factor.

    Shrunk content is surrounded by the background (black if it is unknown); only cells that show the same content in
    both maps are compared.

    >>> import equistudy as eq
    >>> [element.label for element in eq.Scaling((0.8, 1.25)).elements()]
    ['x0.8', 'x1.25']
    """

    GENERATOR = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0))

    def factor(self, element: Element) -> float:
        """The factor by which the element enlarges content."""
        return exp(element.parameters[0])


@dataclass(frozen=True)
class Shear(OneParameterGroup):
    """Shears of the content along x: by `shears` pixels to the right for each pixel below the centre.

    The background (black if it is unknown) enters at the sides; only cells that show the same content in both maps are
    compared.

    >>> import equistudy as eq
    >>> [element.label for element in eq.Shear((0.1,)).elements()]
    ['shear=0.1']
    """

    unit: ClassVar[str] = "px per px"
    GENERATOR = ((0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))

    shears: tuple[float, ...] = (0.1, 0.2)

    def __post_init__(self) -> None:
        _check_values("shears", self.shears, lambda shear: shear == 0, "other than 0", "(0.1, 0.2)")

    def elements(self) -> tuple[Element, ...]:
        """The shear by each of `shears`."""
        return tuple(Element(f"shear={shear:g}", abs(float(shear)), (float(shear),)) for shear in self.shears)


@dataclass(frozen=True)
class Stretch(FactorGroup):
    """Stretches of the content along x by `factors`, about the centre; y stays. The parameter is the log factor.

    The background (black if it is unknown) enters at the sides; only cells that show the same content in both maps are
    compared.

    Source: one of the fields of Gruver et al. 2023, arXiv:2210.02984. Differs from the authors' code, whose other
    diagonal entry is 0, so that the image collapses to a line.

    >>> import equistudy as eq
    >>> [element.label for element in eq.Stretch((0.8,)).elements()]
    ['x-axis x0.8']
    """

    PREFIX: ClassVar[str] = "x-axis x"
    GENERATOR = ((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@dataclass(frozen=True)
class HyperbolicRotation(FactorGroup):
    """Squeezes of the content about the centre: x is multiplied by each of `factors` and y divided by it.

    Areas are preserved, and points move along hyperbolas x y = constant. The parameter is the logarithm of the factor.
    The border is treated as in `Stretch`.

    Source: one of the fields of Gruver et al. 2023, arXiv:2210.02984.

    >>> import equistudy as eq
    >>> [element.label for element in eq.HyperbolicRotation((1.25,)).elements()]
    ['squeeze=1.25']
    """

    PREFIX: ClassVar[str] = "squeeze="
    GENERATOR = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 0.0))


def _check_values(
    name: str, values: tuple[float, ...], refused: Callable[[float], bool], rule: str, example: str
) -> None:
    """Raises ValueError unless there is at least one value and all are finite, distinct and allowed."""
    distinct = len(set(values)) == len(values) > 0
    if not distinct or not all(isfinite(value) for value in values) or any(refused(value) for value in values):
        raise ValueError(
            f"{name} must be one or more distinct finite numbers, {rule}, got {name}={values}. "
            f"For example {name}={example}."
        )


@dataclass(frozen=True)
class Saturation(Group):
    """Multiplication of what the network sees, images less their mean over their standard deviation, by exp(t).

    Feature maps are multiplied too, vectors are not: equivariant are homogeneous layers, such as convolutions without
    bias and ReLU, and normalisations are the least equivariant. For `LieDerivative` and `LieContribution` alone: other
    measures compare images before they are normalised.

    Source: one of the fields of Gruver et al. 2023, arXiv:2210.02984, whose code calls it so; colours keep their
    saturation.
    """

    unit: ClassVar[str] = "log factor"

    def elements(self) -> tuple[Element, ...]:
        """None: it is differentiated."""
        return ()

    def sample(self, count: int, rng: Generator) -> Float[Tensor, "N 1"]:
        """Standard normal logarithms of factors."""
        import torch

        return torch.randn(count, 1, generator=rng, device=rng.device)

    def inverse(self, elements: Float[Tensor, "N 1"]) -> Float[Tensor, "N 1"]:
        """The opposite parameters."""
        return -elements

    def compose(self, first: Float[Tensor, "N 1"], second: Float[Tensor, "N 1"]) -> Float[Tensor, "N 1"]:
        """The sums of the parameters."""
        return first + second

    def act(self, images: Float[Tensor, "B C H W"], elements: Float[Tensor, "B 1"]) -> Float[Tensor, "B C H W"]:
        """Each image, normalised as the network sees it, times its own factor."""
        return images * elements.exp()[..., None, None].to(images)

    def views(self, images: Float[Tensor, "B C H W"], background: float | None) -> Views:
        """ValueError: images that are not normalised have no views."""
        raise ValueError(
            "Measures that compare images with transformed ones need a group that moves content, got Saturation(). "
            "Use it in LieDerivative or LieContribution."
        )

    def obstacle(self, grid: Grid) -> str | None:
        """None: maps of any grid can be multiplied."""
        return None
