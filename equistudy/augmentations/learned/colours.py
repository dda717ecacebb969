"""Generators that change the colour of each pixel: hue, saturation, brightness, contrast."""

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
    """Base of the four. They act on (red, green, blue) in [0, 1]; results are clipped to [0, 1]."""

    domain: ClassVar[Domain] = Domain.COLOUR


@dataclass(frozen=True)
class HueGenerator(ColourGenerator):
    """Rotates hues at constant luma, in degrees, from red to green to blue; 180 degrees reaches every hue.

    The rotation is about the grey axis, corrected along that axis so that each colour keeps its luma. It differs from
    hues on the usual hexagon by a few degrees.
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
        """The cross product with the grey axis, less its change of luma."""
        unit = 1 / sqrt(3)
        cross = ((0.0, -unit, unit), (unit, 0.0, -unit), (-unit, unit, 0.0))
        change = [sum(GREY[row] * cross[row][column] for row in range(3)) for column in range(3)]
        return (*((*(cross[row][column] - change[column] for column in range(3)), 0.0) for row in range(3)), ZERO_ROW)


@dataclass(frozen=True)
class SaturationGenerator(ColourGenerator):
    """Scales the difference of a colour from the grey of its luma, by the logarithm of the factor."""

    name: ClassVar[str] = "saturation"
    unit: ClassVar[str] = Scaling.unit

    @property
    def rows(self) -> Matrix:
        """A colour less its luma."""
        rows = ((*(float(row == column) - GREY[column] for column in range(3)), 0.0) for row in range(3))
        return (*rows, ZERO_ROW)


@dataclass(frozen=True)
class BrightnessGenerator(ColourGenerator):
    """Adds the same amount to all three channels, as a fraction of their range.

    Source: Benton et al. 2020, arXiv:2010.11882, whose code learns both ends of the interval.
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
    """Scales all channels about middle grey, 1 / 2, by the logarithm of the factor."""

    name: ClassVar[str] = "contrast"
    unit: ClassVar[str] = Scaling.unit

    @property
    def rows(self) -> Matrix:
        """A scaling about middle grey."""
        return (*((*(float(row == column) for column in range(3)), -0.5) for row in range(3)), ZERO_ROW)


COLOUR = (HueGenerator(), SaturationGenerator(), BrightnessGenerator(), ContrastGenerator())
