"""Generators that move the colour of each pixel: hue, saturation, brightness, contrast."""

from dataclasses import dataclass
from math import degrees, sqrt
from typing import ClassVar

from equistudy.augmentations.colour import LUMA
from equistudy.augmentations.learned.generators import Domain, LieGenerator, Matrix
from equistudy.groups.one_parameter import Rotation, Scaling

__all__ = ["COLOUR", "BrightnessGenerator", "ContrastGenerator", "HueGenerator", "SaturationGenerator"]

ZERO_ROW = (0.0, 0.0, 0.0, 0.0)
GREY = tuple(weight / sum(LUMA) for weight in LUMA)  # so that grey keeps its brightness exactly


@dataclass(frozen=True)
class ColourGenerator(LieGenerator):
    """Base of the four. They act on (red, green, blue) in [0, 1], and what leaves [0, 1] is cut off there."""

    domain: ClassVar[Domain] = Domain.COLOUR


@dataclass(frozen=True)
class HueGenerator(ColourGenerator):
    """Turns colours about grey at equal brightness, in degrees: red to green to blue; 180 degrees is every hue.

    Chroma, a colour less its luma, lies in the plane across the luma's weights; the turn is that of its image in the
    plane across grey, along grey. It differs from the hexagon of hues by a few degrees.
    """

    name: ClassVar[str] = "hue"
    unit: ClassVar[str] = Rotation.unit
    rate: ClassVar[float] = Rotation.RATE
    scale: ClassVar[float] = degrees(0.5)
    period: ClassVar[float | None] = 180.0

    start: float = 10.0
    cap: float | None = 180.0

    @property
    def rows(self) -> Matrix:
        """The cross product with grey, and along grey what keeps the luma."""
        unit = 1 / sqrt(3)
        cross = ((0.0, -unit, unit), (unit, 0.0, -unit), (-unit, unit, 0.0))
        change = [sum(GREY[row] * cross[row][column] for row in range(3)) for column in range(3)]
        return (*((*(cross[row][column] - change[column] for column in range(3)), 0.0) for row in range(3)), ZERO_ROW)


@dataclass(frozen=True)
class SaturationGenerator(ColourGenerator):
    """Moves colours away from the grey of their luma, as the logarithm of the factor."""

    name: ClassVar[str] = "saturation"
    unit: ClassVar[str] = Scaling.unit

    @property
    def rows(self) -> Matrix:
        """Each colour less its luma."""
        rows = ((*(float(row == column) - GREY[column] for column in range(3)), 0.0) for row in range(3))
        return (*rows, ZERO_ROW)


@dataclass(frozen=True)
class BrightnessGenerator(ColourGenerator):
    """Adds to all three channels, as a share of their range.

    Source: Benton et al. 2020, arXiv:2010.11882, whose code learns the two ends of the interval.
    """

    name: ClassVar[str] = "brightness"
    unit: ClassVar[str] = "of the range"
    scale: ClassVar[float] = 0.1

    start: float = 0.1

    @property
    def rows(self) -> Matrix:
        """The same shift of all channels."""
        return (*((0.0, 0.0, 0.0, 1.0),) * 3, ZERO_ROW)


@dataclass(frozen=True)
class ContrastGenerator(ColourGenerator):
    """Moves all channels away from middle grey, 1 / 2, as the logarithm of the factor."""

    name: ClassVar[str] = "contrast"
    unit: ClassVar[str] = Scaling.unit

    @property
    def rows(self) -> Matrix:
        """A scaling about middle grey."""
        return (*((*(float(row == column) for column in range(3)), -0.5) for row in range(3)), ZERO_ROW)


COLOUR = (HueGenerator(), SaturationGenerator(), BrightnessGenerator(), ContrastGenerator())
