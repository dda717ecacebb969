"""What a study is: one question with its design, its measures, its claims and its figures."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from equistudy.measuring.measure import Measure
from equistudy.spec import CheckedFields
from equistudy.study.design import Design, suggest_names

__all__ = ["Claim", "ClaimTest", "Figure", "Study", "Verdict", "format_study_name", "is_file_name"]


class Verdict(NamedTuple):
    """What the data says about a claim.

    `status` is supported, contradicted or undecided. `effect` with its 95 % interval is in the unit that `sentence`
    names. `n` counts the replicates. `p` is two-sided and corrected over the study's claims. `effects` has one effect a
    seed, of the cell that decided where a claim is judged in each of several cells; `details` describes them further.
    """

    status: str
    sentence: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int = 0
    effects: tuple[float, ...] = ()
    details: str = ""


@runtime_checkable
class ClaimTest(Protocol):
    """A test of a claim on the study's table."""

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors that the test looks at."""
        ...

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that the test looks at."""
        ...

    def test(self, table: Any) -> Verdict:
        """The verdict on `table`, an `equistudy.analysis.table.StudyTable`."""
        ...


@runtime_checkable
class Figure(Protocol):
    """A figure of the report: a frame first, a chart second."""

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors that the figure shows."""
        ...

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that the figure shows."""
        ...

    def frame(self, table: Any) -> Any:
        """The numbers that the figure shows, as a `polars.DataFrame`."""
        ...

    def draw(self, frame: Any) -> Any:
        """The chart of that frame, an `altair.Chart`."""
        ...


@dataclass(frozen=True)
class Claim(CheckedFields):
    """A statement, usually a paper's, as a test that is declared before the data is seen."""

    statement: str
    test: ClaimTest
    source: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.test, ClaimTest):
            raise TypeError(
                f"Claim.test must be a test such as Trend(...) or Contrast(...), got {self.test!r}. "
                "Write Claim(statement, test)."
            )


@dataclass(frozen=True)
class Study(CheckedFields):
    """One question, and everything that is needed to answer it.

    `scales` names other designs for the same question, such as the size of the paper; `--scale NAME` chooses one.
    """

    COERCED: ClassVar[frozenset[str]] = frozenset({"claims", "figures", "measures"})

    question: str
    design: Design
    measures: tuple[Measure, ...]
    claims: tuple[Claim, ...] = ()
    figures: tuple[Figure, ...] = ()
    scales: Mapping[str, Design] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for scale in self.scales:
            if not is_file_name(scale):
                raise ValueError(
                    f"A scale's name is also a folder's, of letters, digits, spaces and _.+-, got "
                    f"{scale!r}. Rename it, for example to 'paper'."
                )
        self._check_types()
        factors = set(self.design.names)
        parts: dict[str, Sequence[ClaimTest | Figure]] = {
            "Claim": [claim.test for claim in self.claims],
            "Figure": self.figures,
        }
        for what, items in parts.items():
            for number, item in enumerate(items, 1):
                for name in item.factors:
                    if name not in factors:
                        raise ValueError(
                            f"{what} {number} uses factor {name!r}, which the design does not vary. "
                            f"{suggest_names(name, factors)}"
                        )
                for measure in item.measures:
                    if measure not in self.measures:
                        raise ValueError(
                            f"{what} {number} uses {measure}, which is not among the study's measures. "
                            "Add it to measures."
                        )

    def _check_types(self) -> None:
        if not isinstance(self.question, str):
            raise TypeError(f"Study.question must be a string, got {self.question!r}. Write the question in quotes.")
        for what, design in {
            "design": self.design,
            **{f"scales[{name!r}]": each for name, each in self.scales.items()},
        }.items():
            if not isinstance(design, Design):
                raise TypeError(f"Study.{what} must be a design, got {design!r}. Build one with factorial(...).")
        kinds: dict[str, tuple[type, str]] = {
            "measures": (Measure, "(Accuracy(),)"),
            "claims": (Claim, "(Claim(statement, test),)"),
            "figures": (Figure, "(Curve(y, x),)"),
        }
        for name, (kind, example) in kinds.items():
            items = getattr(self, name)
            if not isinstance(items, (tuple, list)):
                raise TypeError(f"Study.{name} must be a tuple, got {items!r}. Write {name}={example}, with the comma.")
            for number, item in enumerate(items, 1):
                if not isinstance(item, kind):
                    raise TypeError(
                        f"Study.{name} must contain only {name}, got {item!r} at position {number}. "
                        f"Write {name}={example}."
                    )

    def at_scale(self, scale: str | None) -> "Study":
        """The same study at another scale."""
        if scale is None:
            return self
        if scale not in self.scales:
            raise ValueError(f"The study has no scale {scale!r}. {suggest_names(scale, self.scales)}")
        return replace(self, design=self.scales[scale])


def is_file_name(name: object) -> bool:
    """Whether a name stays in the folder in which a file or folder of that name is made."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w .+-]{0,199}", name) is not None


def format_study_name(study: str, scale: str | None) -> str:
    """What a study is called at a scale: its own name at the first, `capacity-paper` at another."""
    return study if scale is None else f"{study}-{scale}"
