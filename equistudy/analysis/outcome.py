"""One number per trial: which measure, over which stages and elements, against which reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from equistudy.measures.measure import Measure
from equistudy.spec import label

if TYPE_CHECKING:
    from polars import DataFrame

    from equistudy.analysis.table import StudyTable
else:
    # A study file names outcomes; Polars is imported where there is a table to look at.
    DataFrame = StudyTable = Any

__all__ = ["Outcome", "Reference", "Score", "outcome_of"]


@dataclass(frozen=True)
class Score:
    """A numeric column of the trials table by name, such as `test_accuracy` or `parameters`."""

    name: str

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")


class Reference(Enum):
    """What is subtracted from a measured value; the value of each is the column of the measurements table."""

    NONE = "none"
    UNTRAINED = "untrained"
    FLOOR = "floor"
    NO_MOTION = "no_motion"


TITLES = {
    Reference.UNTRAINED: "gain over the untrained network",
    Reference.FLOOR: "above shuffled pairs",
    Reference.NO_MOTION: "above no motion",
}


@dataclass(frozen=True)
class Outcome:
    """The number that a claim or a figure is about: the mean of a measure's values in one trial.

    First over the elements of each stage, then over the stages. `stages=None` takes every feature map of the network,
    the rows with a stride, and every stage for a measure that has no map; `elements=None` takes all elements. Vectors
    (`pooled`, `logits`) are invariant at best, which is another question: name them to ask it. `reference` subtracts
    the value of the untrained network, of shuffled pairs or of features compared unmoved, row by row. A trial without
    such a value is absent and listed by `missing`; nothing is filled in.
    """

    measure: Measure | Score
    stages: Sequence[str] | None = None
    elements: Sequence[str] | None = None
    reference: Reference = Reference.NONE

    def __post_init__(self) -> None:
        for name in ("stages", "elements"):
            chosen = getattr(self, name)
            if chosen is None:
                continue
            if isinstance(chosen, str) or not chosen:
                raise ValueError(f"{name} is a tuple of names, or None for the default, got {name}={chosen!r}.")
            object.__setattr__(self, name, tuple(chosen))
        plain = self.stages is None and self.elements is None and self.reference is Reference.NONE
        if isinstance(self.measure, Score) and not plain:
            raise ValueError(
                f"A score is one number per trial, got {self.measure} with stages, elements or a reference. "
                "Leave them out, or name a measure."
            )

    @property
    def title(self) -> str:
        """The measure's title and group, the stages where they were chosen, and the reference."""
        group = getattr(self.measure, "group", None)
        title = self.measure.title if group is None else f"{self.measure.title} under {label(group)}"
        if self.stages is not None:
            title += f" at {', '.join(self.stages)}"
        return title if self.reference is Reference.NONE else f"{title}, {TITLES[self.reference]}"

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measure, where the number does not come from the trials table."""
        return () if isinstance(self.measure, Score) else (self.measure,)

    @property
    def higher_is_better(self) -> bool:
        """Whether the best value is the highest: names that end in error or loss are better low."""
        return not self.measure.name.endswith(("error", "loss"))

    def rows(self, table: StudyTable) -> DataFrame:
        """The measurements behind the number: those of the measure, at the elements, with the reference subtracted.

        All stages, and the columns of the measurements table alone.
        """
        from equistudy.analysis.values import measured_rows

        return measured_rows(self, table)

    def per_trial(self, table: StudyTable) -> DataFrame:
        """One row a trial of the design that has the number: trial, seed, factors, value."""
        from equistudy.analysis.values import values_per_trial

        return values_per_trial(self, table)

    def missing(self, table: StudyTable) -> DataFrame:
        """The trials of the design that lack the number: failed, missing, or done and without this measurement."""
        from equistudy.analysis.values import trials_without_value

        return trials_without_value(self, table)


def outcome_of(what: Any) -> Outcome:
    """An outcome as it is; a bare measure or score as the outcome with every default."""
    if isinstance(what, Outcome):
        return what
    if isinstance(what, (Measure, Score)):
        return Outcome(what)
    raise TypeError(f"A claim or a figure is about an Outcome, a Measure or a Score, got {what!r}.")
