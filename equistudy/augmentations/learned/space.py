"""Generators that move points in space: rotations, shears, squeezes, scaling and translations."""

from dataclasses import dataclass, field
from enum import Enum
from math import degrees
from typing import ClassVar

from equistudy.augmentations.learned.generators import Domain, LieGenerator, Matrix
from equistudy.groups.one_parameter import Rotation, Scaling

__all__ = [
    "AFFINE3",
    "SE3",
    "SO3",
    "Axis",
    "HaarRotation",
    "SpaceRotation",
    "SpaceScaling",
    "SpaceShear",
    "SpaceSqueeze",
    "SpaceTranslation",
]


class Axis(Enum):
    """An axis of space."""

    X = "x"
    Y = "y"
    Z = "z"

    @property
    def index(self) -> int:
        """0, 1 or 2."""
        return "xyz".index(self.value)

    @property
    def others(self) -> tuple[int, int]:
        """The two that follow it cyclically: a rotation about x takes y to z."""
        return (self.index + 1) % 3, (self.index + 2) % 3


def _build_matrix(entries: dict[tuple[int, int], float]) -> Matrix:
    """A matrix of four rows with these entries, 0 elsewhere."""
    return tuple(tuple(entries.get((row, column), 0.0) for column in range(4)) for row in range(4))


@dataclass(frozen=True)
class _SpaceGenerator(LieGenerator):
    """Base of the generators with an axis, whose letter ends their name."""

    kind: ClassVar[str]
    domain: ClassVar[Domain] = Domain.SPACE

    axis: Axis = field(default=Axis.Z, kw_only=True)

    @property
    def name(self) -> str:  # type: ignore[override]
        """The kind of transformation and its axis."""
        return f"{self.kind}_{self.axis.value}"


@dataclass(frozen=True)
class SpaceRotation(_SpaceGenerator):
    """Rotates about an axis through the origin, in degrees, by the right-hand rule.

    A box of all three (`SO3`) draws rotation vectors, axis times angle, uniformly from a box of at most the
    half-extents along each axis. At 180 degrees about each axis it reaches every rotation, but not uniformly: small
    angles and the corners of the box are favoured. For uniform rotations use `HaarRotation`.
    """

    kind: ClassVar[str] = "rotation"
    unit: ClassVar[str] = Rotation.unit
    rate: ClassVar[float] = Rotation.RATE
    scale: ClassVar[float] = degrees(0.5)
    period: ClassVar[float | None] = 180.0

    start: float = 20.0
    cap: float | None = 180.0

    @property
    def rows(self) -> Matrix:
        """The cross product with the axis."""
        first, second = self.axis.others
        return _build_matrix({(second, first): 1.0, (first, second): -1.0})


@dataclass(frozen=True)
class HaarRotation(LieGenerator):
    """Rotates about random axes by at most the half-extent, in degrees, uniformly in the Haar measure of SO(3).

    One half-extent for all axes: the axis is uniform on the sphere, and the angle a has a density proportional to
    1 - cos a up to the half-extent. At 180 degrees every rotation of space is equally likely.
    """

    name: ClassVar[str] = "rotation"
    unit: ClassVar[str] = Rotation.unit
    domain: ClassVar[Domain] = Domain.SPACE
    rate: ClassVar[float] = Rotation.RATE
    scale: ClassVar[float] = degrees(0.5)
    period: ClassVar[float | None] = 180.0
    num_units: ClassVar[int] = 3

    start: float = 20.0
    cap: float | None = 180.0

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        """The cross products with the three axes."""
        return tuple(SpaceRotation(axis=axis).rows for axis in Axis)


@dataclass(frozen=True)
class SpaceShear(_SpaceGenerator):
    """Stretches along one diagonal of the plane normal to the axis and shrinks along the other, as a logarithm."""

    kind: ClassVar[str] = "shear"
    unit: ClassVar[str] = Scaling.unit

    @property
    def rows(self) -> Matrix:
        """Symmetric in the two other axes."""
        first, second = self.axis.others
        return _build_matrix({(second, first): 1.0, (first, second): 1.0})


@dataclass(frozen=True)
class SpaceSqueeze(_SpaceGenerator):
    """Stretches along the axis and shrinks along the next one by the same factor, given as its logarithm.

    Two of the three are independent.
    """

    kind: ClassVar[str] = "squeeze"
    unit: ClassVar[str] = Scaling.unit

    @property
    def rows(self) -> Matrix:
        """One axis grows, the next shrinks."""
        own, after = self.axis.index, self.axis.others[0]
        return _build_matrix({(own, own): 1.0, (after, after): -1.0})


@dataclass(frozen=True)
class SpaceTranslation(_SpaceGenerator):
    """Shifts along the axis, in the data's own unit of length."""

    kind: ClassVar[str] = "translation"
    unit: ClassVar[str] = "length"

    @property
    def rows(self) -> Matrix:
        """One unit along the axis."""
        return _build_matrix({(self.axis.index, 3): 1.0})


@dataclass(frozen=True)
class SpaceScaling(LieGenerator):
    """Enlarges about the origin, by the logarithm of the factor."""

    name: ClassVar[str] = "scaling"
    unit: ClassVar[str] = Scaling.unit
    domain: ClassVar[Domain] = Domain.SPACE

    @property
    def rows(self) -> Matrix:
        """All three axes grow."""
        return _build_matrix({(index, index): 1.0 for index in range(3)})


SO3 = tuple(SpaceRotation(axis=axis) for axis in Axis)
SE3 = (*SO3, *(SpaceTranslation(axis=axis) for axis in Axis))
AFFINE3 = (
    *SO3,
    *(SpaceShear(axis=axis) for axis in Axis),
    SpaceSqueeze(axis=Axis.X),
    SpaceSqueeze(axis=Axis.Y),
    SpaceScaling(),
    *SE3[3:],
)
