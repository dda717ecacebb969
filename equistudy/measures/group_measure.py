"""Measures that compare a network's answers to x and to g x: what a pass under one group must keep for them."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from equistudy.groups.group import Group
from equistudy.measures.measure import Measure, MeasuringResult, Skipped, Subject
from equistudy.recipe import Precision
from equistudy.spec import added

if TYPE_CHECKING:
    from equistudy.measures.comparison import Plan
    from equistudy.measures.geometry import Geometry
else:
    Geometry = Plan = Any

__all__ = ["GroupMeasure", "Key", "Watch"]


class Watch(Enum):
    """What a pass keeps of a stage.

    MOMENTS: of f(g x) against g f(x). DIFFERENCES: moments of |f(g x) - g f(x)| against g f(x). SPREADS: over the
    elements and over the images. ANSWERS: the largest output for each view, of the network's own output. PRODUCTS: of
    each channel of f(g x) with each of g f(x).
    """

    MOMENTS = "moments"
    DIFFERENCES = "differences"
    SPREADS = "spreads"
    ANSWERS = "answers"
    PRODUCTS = "products"


class Key(NamedTuple):
    """Which sums of a pass: those of a stage, with so many cells eroded (None where no cells are compared)."""

    stage: str
    erosion: int | None
    watch: Watch = Watch.MOMENTS


@dataclass(frozen=True)
class GroupMeasure(Measure):
    """Base of the measures under a group. Those with equal groups share one pass over x, g1 x, ... gK x.

    `precision` is the number format of the forward passes; sums are float64 in any. BFLOAT16 moves correlations by
    1e-4 to 2e-3, which is less than most intervals and more than claims finer than 1e-3 bear.

    Unless `shares_pass` is False: then the measure looks at the network in its own way. With `of_output` it looks at
    the network's own output and at no stage.
    """

    watch: ClassVar[Watch]
    shares_pass: ClassVar[bool] = True
    of_output: ClassVar[bool] = False

    group: Group
    precision: Precision = added(Precision.FLOAT32)  # noqa: RUF009 -- a field

    def measure(self, subject: Subject) -> MeasuringResult:
        """All rows of this measure for one network."""
        from equistudy.measures.engine import measure_all

        return measure_all((self,), subject)

    def takes(self, geometry: Geometry) -> bool:
        """Whether the measure has a meaning at such a stage."""
        return True

    def planned(self, stage: str, geometry: Geometry) -> tuple[Plan | None, list[Skipped]]:
        """What the pass compares at a stage that the measure takes, and the elements that it cannot."""
        raise NotImplementedError

    def key(self, stage: str, plan: Plan) -> Key:
        """Which sums of the pass the measure reads."""
        return Key(stage, None, self.watch)

    def rows(self, stage: str, found: Any, untrained: Any, subject: Subject) -> MeasuringResult:
        """The rows of a stage from what the pass kept, of the network and of the untrained one where there is one."""
        raise NotImplementedError
