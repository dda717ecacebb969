"""Outcomes, one number per trial: a measure over chosen stages and elements, against a reference; and sums of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import polars as pl

from equistudy.analysis.table import DONE, StudyTable
from equistudy.analysis.trial_numbers import TrialNumber
from equistudy.measures.group_measure import GroupMeasure
from equistudy.measuring.measure import Measure
from equistudy.spec import CheckedFields, format_label
from equistudy.study.design import suggest_names

__all__ = [
    "Combination",
    "Outcome",
    "Quantity",
    "Reference",
    "as_learned_outcome",
    "as_outcome",
    "orbit_mean",
    "seen_minus_unseen",
]


@dataclass(frozen=True)
class Combination(TrialNumber):
    """A named weighted sum of outcomes of the same trial: one number per trial.

    `Combination("gap", ((1, SEEN), (-1, UNSEEN)))` is the accuracy at a seen orientation minus that at unseen ones.

    >>> import equistudy as eq
    >>> seen, unseen = eq.Score("test_accuracy"), eq.Score("train_accuracy")
    >>> eq.Combination("gap", ((1, unseen), (-1, seen))).title
    'gap'
    """

    name: str
    parts: tuple[tuple[float, Any], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple((weight, as_outcome(part)) for weight, part in self.parts))
        if not self.name or not self.parts:
            raise ValueError(
                f"Combination needs a name and at least one pair (weight, outcome), got name={self.name!r} and "
                f"{len(self.parts)} parts. Write Combination('gap', ((1, SEEN), (-1, UNSEEN)))."
            )

    @property
    def title(self) -> str:
        """The name."""
        return self.name

    @property
    def share(self) -> bool:
        """Whether every part is a fraction of images."""
        return all(part.share for _, part in self.parts)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures behind all parts."""
        return tuple(dict.fromkeys(measure for _, part in self.parts for measure in part.measures))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns behind all parts."""
        return tuple(dict.fromkeys(column for _, part in self.parts for column in part.columns))

    def per_trial(self, table: StudyTable) -> pl.DataFrame:
        """The weighted sum for each trial that has all parts."""
        parts = [
            part.values_per_trial(table).select("trial", value=weight * pl.col("value")).unique("trial")
            for weight, part in self.parts
        ]
        sums = pl.concat(parts).group_by("trial").agg(pl.col("value").sum(), there=pl.len())
        return sums.filter(pl.col("there") == len(parts)).drop("there")


class Reference(Enum):
    """What is subtracted from a measured value.

    NONE: nothing. UNTRAINED: the value of the same network before training. FLOOR: the value for shuffled pairs of
    images. NO_MOTION: the value for features compared without moving them. LEARNED: as UNTRAINED, but without stages at
    which every network, trained or not, has a correlation of at least 0.999; if no network of the table was trained,
    nothing is subtracted.
    """

    NONE = "none"
    UNTRAINED = "untrained"
    FLOOR = "floor"
    NO_MOTION = "no_motion"
    LEARNED = "learned"


PLAIN = (None, Reference.NONE)
SATURATED = 0.999  # a stage at which every network reaches this value does not show what any of them learned
REFERENCE_TITLES = {
    Reference.UNTRAINED: "gain over the untrained network",
    Reference.FLOOR: "above shuffled pairs",
    Reference.NO_MOTION: "above no motion",
}


@dataclass(frozen=True)
class Outcome(CheckedFields):
    """The number that a claim or a figure is about: the mean of a measure's values in one trial.

    Values are averaged over the elements of each stage, then over the stages. `elements=None` uses all elements.
    `stages=None` uses every feature map of the network, or every stage if the measure has no maps. Vectors (`pooled`,
    `logits`) can only be invariant, which is another question, so they must be named explicitly. `reference` is
    subtracted row by row. A trial without the value is listed by `trials_without_value`; nothing is imputed.
    `reference=None` subtracts nothing, except in a `Trend` or `Contrast` of a correlation, where it means
    `Reference.LEARNED`. `name` replaces the title that sentences and headings would otherwise derive from the fields.

    >>> import equistudy as eq
    >>> eq.Outcome(eq.Accuracy(), name="test accuracy").title
    'test accuracy'
    """

    measure: Measure | TrialNumber
    stages: Sequence[str] | None = None
    elements: Sequence[str] | None = None
    reference: Reference | str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.reference is not None and self.reference not in set(Reference):
            names = [reference.value for reference in Reference]
            if self.reference not in names:
                raise ValueError(
                    f"reference must be one of {', '.join(names)}, got reference={self.reference!r}. "
                    f"{suggest_names(str(self.reference), names)}"
                )
            object.__setattr__(self, "reference", Reference(self.reference))
        for name in ("stages", "elements"):
            chosen = getattr(self, name)
            if chosen is None:
                continue
            if isinstance(chosen, str) or not chosen:
                raise ValueError(f"{name} must be a tuple of names, got {name}={chosen!r}. Use None for the default.")
            object.__setattr__(self, name, tuple(chosen))
        plain = self.stages is None and self.elements is None and self.reference in PLAIN
        if isinstance(self.measure, TrialNumber) and not plain:
            raise ValueError(
                f"{type(self.measure).__name__} is one number per trial without stages, elements or a reference, got "
                f"{self.measure} with some. Leave them out, or use a measure."
            )

    @property
    def title(self) -> str:
        """The name, or else the measure's title and group, the chosen stages if any, and the reference."""
        if self.name is not None:
            return self.name
        group = getattr(self.measure, "group", None)
        title = self.measure.title if group is None else f"{self.measure.title} under {format_label(group)}"
        if self.stages is not None:
            title += f" at {', '.join(self.stages)}"
        if self.reference is Reference.LEARNED:
            return f"Learned {title[0].lower()}{title[1:]}"
        return (
            title
            if self.reference is None or self.reference is Reference.NONE
            else f"{title}, {REFERENCE_TITLES[Reference(self.reference)]}"
        )

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures behind the number; empty if it comes from the trials table."""
        return (self.measure,) if isinstance(self.measure, Measure) else self.measure.measures

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the trials table that the number needs; empty if it comes from measurements."""
        return () if isinstance(self.measure, Measure) else self.measure.columns

    @property
    def share(self) -> bool:
        """Whether the number is a fraction of images, or a difference of fractions."""
        return self.measure.share

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest possible outcome, taking the reference into account."""
        low, high = getattr(self.measure, "limits", (0.0, 1.0) if self.share else (-math.inf, math.inf))
        if isinstance(self.measure, Combination):
            return -math.inf, math.inf
        if not hasattr(self.measure, "limits") and self.measure.name.endswith(("error", "loss")):
            low = 0.0
        return (low, high) if self.reference in PLAIN else (low - high, high - low)

    @property
    def higher_is_better(self) -> bool:
        """Whether the highest value is the best; false for names that end in error, gap or loss."""
        return not self.measure.name.endswith(("error", "gap", "loss"))

    def measurement_rows(self, table: StudyTable) -> pl.DataFrame:
        """The measurements behind the number, at the chosen elements and with the reference subtracted.

        Contains all stages, with the columns of the measurements table.
        """
        if not isinstance(self.measure, Measure):
            raise TypeError(f"{type(self.measure).__name__} has no stages, got {self.measure}. Use a measure.")
        rows = table.measurement_rows.filter(pl.col("measure_id") == self.measure.id)
        rows = _named(rows, "element", self.elements)
        if self.reference is Reference.LEARNED:
            rows = _subtract_untrained(rows, self.saturated_stages(table))
        elif self.reference is not None and self.reference is not Reference.NONE:
            rows = rows.with_columns(value=pl.col("value") - pl.col(Reference(self.reference).value))
        return rows.filter(pl.col("value").is_finite())

    def saturated_stages(self, table: StudyTable) -> list[str]:
        """The stages that a LEARNED outcome leaves out, where every network, trained or not, reaches 0.999."""
        if self.reference is not Reference.LEARNED:
            return []
        rows = table.measurement_rows.filter(pl.col("measure_id") == getattr(self.measure, "id", None))
        lowest = rows.group_by("stage").agg(pl.min("value"), pl.min("untrained"))
        full = lowest.filter(pl.min_horizontal("value", "untrained") >= SATURATED, pl.col("untrained").is_not_null())
        found = full["stage"].sort().to_list()
        return found if len(found) < len(lowest) else []

    def has_untrained_values(self, table: StudyTable) -> bool:
        """Whether any network of the table was also measured before training."""
        rows = table.measurement_rows.filter(pl.col("measure_id") == getattr(self.measure, "id", None))
        return rows["untrained"].count() > 0

    def values_per_trial(self, table: StudyTable) -> pl.DataFrame:
        """One row per trial of the design that has the number: trial, seed, factors, value."""
        values = self._stage_means(table) if isinstance(self.measure, Measure) else self.measure.per_trial(table)
        return table.design.join(values, on="trial", maintain_order="left").filter(pl.col("value").is_finite())

    def _stage_means(self, table: StudyTable) -> pl.DataFrame:
        """The mean over the elements of each stage, then over the stages."""
        rows = _named(self.measurement_rows(table), "stage", self.stages)
        if self.stages is None and rows["stride"].count() > 0:
            rows = rows.filter(pl.col("stride").is_not_null())
        values = rows.group_by("trial", "stage").agg(pl.col("value").mean())
        return values.group_by("trial").agg(pl.col("value").mean())

    def trials_without_value(self, table: StudyTable) -> pl.DataFrame:
        """The trials of the design without the number: failed, missing, or finished without this measurement."""
        lacking = table.trials.join(self.values_per_trial(table), on="trial", how="anti")
        what = self.measure
        unmeasured = pl.lit(f"{what.title} not measured" if isinstance(what, Measure) else what.reason_absent)
        return lacking.with_columns(
            reason=pl.when(pl.col("status") == DONE).then(unmeasured).otherwise(pl.col("reason").cast(pl.String))
        )


def _subtract_untrained(rows: pl.DataFrame, left_out: Sequence[str]) -> pl.DataFrame:
    """The values minus those before training, at the other stages; unchanged if no network was trained."""
    if rows["untrained"].count() == 0:
        return rows
    kept = rows.filter(~pl.col("stage").is_in(left_out)) if left_out else rows
    return kept.with_columns(value=pl.col("value") - pl.col("untrained"))


def _named(rows: pl.DataFrame, column: str, names: Sequence[str] | None) -> pl.DataFrame:
    """The rows with these names. Raises ValueError for a name that no trial has, unless nothing is measured yet."""
    if names is None or rows.is_empty():
        return rows
    there = set(rows[column])
    for name in names:
        if name not in there:
            raise ValueError(f"No trial was measured at {column} {name!r}. {suggest_names(name, there)}")
    return rows.filter(pl.col(column).is_in(names))


Quantity = Outcome | Measure | TrialNumber  # what a claim or a figure may be about


def as_outcome(what: Any) -> Outcome:
    """An outcome unchanged; a measure, score, combination or reported value as the outcome with default settings."""
    if isinstance(what, Outcome):
        return what
    if isinstance(what, (Measure, TrialNumber)):
        return Outcome(what)
    raise TypeError(
        f"A claim or figure needs an Outcome, Measure, Score, Combination or ReportedValue, got {what!r}. "
        "Wrap a column of the trials table in Score."
    )


def as_learned_outcome(what: Any) -> Outcome:
    """Like `as_outcome`, but a correlation under a group without a reference gets Reference.LEARNED.

    Untrained networks already have much of it; what a network learned is the difference.
    """
    outcome = as_outcome(what)
    measure = outcome.measure
    if outcome.reference is None and isinstance(measure, GroupMeasure) and measure.name.endswith("_correlation"):
        return replace(outcome, reference=Reference.LEARNED)
    return outcome


def seen_minus_unseen(measure: Measure, unseen: Sequence[str] | None = None) -> Combination:
    """The generalisation gap: the measure on unmoved images minus its mean at unseen elements.

    `unseen` names the elements, by default all of the group. The seen orientation is not among them; including it, as
    in the code of Edixhoven et al. 2023, arXiv:2308.11316, would make the gap over quarter turns a quarter smaller. A
    measure that has a row at the seen orientation needs `unseen`.
    """
    gain = Outcome(measure, elements=unseen, reference=Reference.NO_MOTION)
    return Combination(f"{measure.title}, seen minus unseen: gap", ((-1, gain),))


def orbit_mean(measure: GroupMeasure) -> Combination:
    """The measure's mean over the elements of its group including the identity.

    (n m + z) / (n + 1), with m the mean over the n elements and z the value on unmoved images; computed as
    m - (m - z) / (n + 1).
    """
    count = len(measure.group.elements()) + 1
    gain = Outcome(measure, reference=Reference.NO_MOTION)
    return Combination(f"{measure.title}, mean over {count} orientations", ((1, measure), (-1 / count, gain)))
