"""The directions in which a learned augmentation can transform: Lie generators with a start, a unit and a cap."""

from dataclasses import dataclass, field, replace
from enum import Enum
from math import degrees, isfinite
from typing import ClassVar

from equistudy.groups.one_parameter import Rotation, Scaling
from equistudy.spec import Spec

__all__ = [
    "AFFINE",
    "GL2",
    "SE2",
    "Domain",
    "LieGenerator",
    "MatrixGenerator",
    "RotationGenerator",
    "ScalingGenerator",
    "ShearGenerator",
    "SqueezeGenerator",
    "TranslationXGenerator",
    "TranslationYGenerator",
]

Matrix = tuple[tuple[float, ...], ...]


class Domain(Enum):
    """What a generator acts on: positions in an image, points in space, or the colour of each pixel."""

    PLANE = "plane"
    SPACE = "space"
    COLOUR = "colour"

    @property
    def size(self) -> int:
        """The number of rows of a matrix: one for each coordinate, and one for the constant."""
        return 3 if self is Domain.PLANE else 4


@dataclass(frozen=True)
class LieGenerator(Spec):
    """Base of the generators: x moves with the velocity A (x, 1), with A the matrix.

    In the plane x is (x, y) in pixels from the image's centre, y down; in space (x, y, z) in the data's own unit; of
    colours (red, green, blue) in [0, 1].

    `start` is the half-extent h with which training begins, in the generator's unit: coefficients are uniform on
    [-h, h]. `cap` is the largest half-extent, None for no limit. A generator with `learned=False` keeps its start.
    `rate` is the coefficient of the matrix for one unit. The optimiser sees an unconstrained parameter raw, with h =
    scale * softplus(raw): a step changes h in proportion below `scale` and by a constant above it. `period`, in degrees
    to each side, is where periodic transformations repeat. An element takes `num_units` uniform numbers.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    domain: ClassVar[Domain] = Domain.PLANE
    rate: ClassVar[float] = 1.0
    scale: ClassVar[float] = 0.5
    period: ClassVar[float | None] = None
    num_units: ClassVar[int] = 1

    start: float = 0.35
    cap: float | None = None
    learned: bool = True

    def __post_init__(self) -> None:
        if self.period is not None and (self.cap is None or not self.cap <= self.period):
            raise ValueError(
                f"The cap of a {self.name} must be at most its period, {self.period:g} degrees to each side, got "
                f"cap={self.cap}. Use {self.period:g}."
            )
        if not (isfinite(self.start) and self.start > 0):
            raise ValueError(
                f"start must be positive and finite, got start={self.start} for {self.name}. "
                f"Use about {self.scale / 10:.2g} {self.unit} to start almost without {self.name}."
            )
        if self.cap is not None and not self.start <= self.cap:
            raise ValueError(
                f"start must be at most cap, got start={self.start}, cap={self.cap} for {self.name}. "
                f"Lower start, or raise cap."
            )

    @property
    def rows(self) -> Matrix:
        """The matrix, the last row 0."""
        raise NotImplementedError

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """One matrix for each of the `num_units` numbers."""
        return (self.rows,)

    def with_start(self, start: float) -> "LieGenerator":
        """The same generator with another first half-extent."""
        return replace(self, start=start)

    def without_learning(self) -> "LieGenerator":
        """The same generator, not learned: it keeps its start."""
        return replace(self, learned=False)


@dataclass(frozen=True)
class RotationGenerator(LieGenerator):
    """Rotates about the centre, counter-clockwise as displayed, in degrees.

    At 180 degrees every angle is equally likely, unless shears or squeezes act along with the rotation.

    >>> import equistudy as eq
    >>> eq.RotationGenerator(start=20.0).without_learning().learned
    False
    """

    name: ClassVar[str] = "rotation"
    unit: ClassVar[str] = Rotation.unit
    rate: ClassVar[float] = Rotation.RATE
    scale: ClassVar[float] = degrees(0.5)
    period: ClassVar[float | None] = 180.0

    start: float = 20.0
    cap: float | None = 180.0

    @property
    def rows(self) -> Matrix:
        """That of the group of rotations."""
        return Rotation.GENERATOR


@dataclass(frozen=True)
class TranslationXGenerator(LieGenerator):
    """Shifts to the right, in pixels."""

    name: ClassVar[str] = "translation_x"
    unit: ClassVar[str] = "px"
    scale: ClassVar[float] = 1.0

    start: float = 0.5

    @property
    def rows(self) -> Matrix:
        """One pixel to the right."""
        return (0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class TranslationYGenerator(LieGenerator):
    """Shifts down, in pixels."""

    name: ClassVar[str] = "translation_y"
    unit: ClassVar[str] = "px"
    scale: ClassVar[float] = 1.0

    start: float = 0.5

    @property
    def rows(self) -> Matrix:
        """One pixel down."""
        return (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ScalingGenerator(LieGenerator):
    """Enlarges about the centre, by the logarithm of the factor."""

    name: ClassVar[str] = "scaling"
    unit: ClassVar[str] = Scaling.unit

    @property
    def rows(self) -> Matrix:
        """That of the group of scalings."""
        return Scaling.GENERATOR


@dataclass(frozen=True)
class SqueezeGenerator(LieGenerator):
    """Stretches along x and shrinks along y by the same factor, given as its logarithm."""

    name: ClassVar[str] = "squeeze"
    unit: ClassVar[str] = Scaling.unit

    @property
    def rows(self) -> Matrix:
        """One axis grows, the other shrinks."""
        return (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ShearGenerator(LieGenerator):
    """Stretches along one diagonal and shrinks along the other by the same factor, given as its logarithm."""

    name: ClassVar[str] = "shear"
    unit: ClassVar[str] = Scaling.unit

    @property
    def rows(self) -> Matrix:
        """The symmetric shear: x moves with y, and y with x."""
        return (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class MatrixGenerator(LieGenerator):
    """A user-defined generator: a name for the tables, and a matrix whose coefficient is the unit.

    A matrix of the plane has three rows of three, one of space or of colours four of four.
    """

    unit: ClassVar[str] = "of the matrix"

    name: str = field(default="own")  # type: ignore[misc]
    matrix: Matrix = ((0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    domain: Domain = field(default=Domain.PLANE, kw_only=True, metadata={"added": True})  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.isidentifier():
            raise ValueError(
                f"A generator's name must be an identifier, because columns are named after it, got "
                f"name={self.name!r}. For example name='shear_x'."
            )
        size = self.domain.size
        shape = [len(row) for row in self.matrix]
        entries = [entry for row in self.matrix for entry in row]
        if shape != [size] * size or any(self.matrix[-1]) or not all(map(isfinite, entries)) or not any(entries):
            count = "three rows of three" if size == 3 else "four rows of four"
            raise ValueError(
                f"An affine generator of domain={self.domain.value!r} needs {count} finite numbers, not all 0, with a "
                f"last row of 0, got matrix={self.matrix}. For example ((0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, "
                f"0.0)), a shear of the plane."
            )

    @property
    def rows(self) -> Matrix:
        """The matrix as given."""
        return self.matrix


GL2 = (RotationGenerator(), ScalingGenerator(), SqueezeGenerator(), ShearGenerator())
SE2 = (TranslationXGenerator(), TranslationYGenerator(), RotationGenerator())
AFFINE = (TranslationXGenerator(), TranslationYGenerator(), *GL2)
