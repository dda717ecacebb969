"""The base of the specs of measures that compare a network's outputs for x and for g x."""

from dataclasses import dataclass

from equistudy.groups.group import Group
from equistudy.measuring.families import PairedMeasure
from equistudy.measuring.measure import MeasuringResult, Subject
from equistudy.recipe import Precision
from equistudy.spec import added_field

__all__ = ["GroupMeasure"]


@dataclass(frozen=True)
class GroupMeasure(PairedMeasure):
    """Base of the measures under a group. Those with equal groups share one pass over x, g1 x, ... gK x.

    `precision` is the number format of the forward passes; sums are float64 in any. BFLOAT16 moves correlations by
    1e-4 to 2e-3, which is less than most intervals and more than claims finer than 1e-3 bear.
    """

    group: Group
    precision: Precision = added_field(Precision.FLOAT32)  # noqa: RUF009 -- a field

    def measure(self, subject: Subject) -> MeasuringResult:
        """All rows of this measure for one network."""
        from equistudy.measuring.engine import measure_all

        return measure_all((self,), subject)
