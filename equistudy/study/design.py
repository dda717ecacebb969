"""The table of trials of a study: factors, their levels, and the factorial design."""

import difflib
import gc
import inspect
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from equistudy.spec import CheckedFields, Spec, format_label
from equistudy.study.trial import COMPONENTS, Trial

__all__ = [
    "Cell",
    "Design",
    "DrawnTrials",
    "Factor",
    "Factorial",
    "factorial",
    "nested",
    "pause_garbage_collection",
    "suggest_names",
    "take_bounded",
]

# columns that tables and figures have beside the factors
MAX_TRIALS, MAX_TRIALS_VARIABLE = 1_000_000, "EQUISTUDY_MAX_TRIALS"
RESERVED_NAMES = frozenset(
    (
        *("trial", "study", "attempt", "seed", "status", "reason", "value", "low", "high", "n", "level", "levels"),
        *("needed", "whole", "cells", "best", "stage", "element", "measure", "series", "vector", "epoch", "split"),
        *("curve", "x", "y"),
    )
)


@dataclass(frozen=True)
class Factor(CheckedFields):
    """What a study varies: the name of a parameter of the trial function, and the levels it takes.

    `unit` labels axes; `log` says that the levels are compared by their logarithm.
    """

    COERCED: ClassVar[frozenset[str]] = frozenset({"levels"})

    name: str
    levels: tuple[Any, ...]
    unit: str | None = None
    log: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", take_bounded(self.levels, f"The levels of factor {self.name!r}"))
        if not isinstance(self.name, str) or not self.name.isidentifier() or self.name in RESERVED_NAMES:
            raise ValueError(
                "A factor must be named after a parameter of the trial function, and not "
                f"{' or '.join(sorted(RESERVED_NAMES))}, got name={self.name!r}. Rename it."
            )
        if not self.levels:
            raise ValueError(f"Factor {self.name!r} needs at least one level, got none.")
        labels = Counter(format_label(level) for level in self.levels)
        twice = sorted(name for name, count in labels.items() if count > 1)
        if twice:
            raise ValueError(f"The levels of factor {self.name!r} must differ, got {', '.join(twice)} more than once.")
        if self.log and not all(isinstance(level, (int, float)) and level > 0 for level in self.levels):
            raise ValueError(f"A factor with log=True needs positive numbers, got {self.name}={self.levels}.")

    @property
    def is_numeric(self) -> bool:
        """Whether all levels are numbers, so that a trend over them has a meaning."""
        return all(isinstance(level, (int, float)) and not isinstance(level, bool) for level in self.levels)

    @property
    def title(self) -> str:
        """Name and unit, as an axis shows them."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


def get_max_trials() -> int:
    """How many trials a study may have: a bound for a slip such as `range(10**9)`, which the environment raises."""
    text = os.environ.get(MAX_TRIALS_VARIABLE, "").strip()
    if not text:
        return MAX_TRIALS
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(
            f"{MAX_TRIALS_VARIABLE} must be a positive integer, got {text!r}. Unset it for the default of {MAX_TRIALS}."
        )
    return int(text)


def take_bounded(values: Any, what: str) -> tuple[Any, ...]:
    """The values as a tuple, of which no more are made than a study may have trials. Raises ValueError for more."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{what} must be a sequence, got {values!r}. Use a tuple, a list or a range.")
    most = get_max_trials()
    if isinstance(values, range):
        # counted without len(), which fails beyond 64 bits
        number = max(0, -((values.start - values.stop) // values.step))
        check_number(number, what)
    taken = tuple(islice(values, most + 1))
    check_number(max(len(taken), _count(values)), what)
    return taken


def _count(values: Iterable[Any]) -> int:
    return len(values) if isinstance(values, Sized) and not isinstance(values, range) else 0


def check_number(number: int, what: str) -> None:
    """Raises ValueError for more than a study may have."""
    most = get_max_trials()
    if number > most:
        raise ValueError(
            f"{what} must number at most {most:,}, got {number:,}. Take fewer, or set {MAX_TRIALS_VARIABLE} to a "
            "larger number."
        )


@contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Without garbage collection, while objects are made of which none will be garbage."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class Cell(NamedTuple):
    """One row of a design: the level of each factor, the seed, and the trial they give."""

    levels: dict[str, Any]
    seed: int
    trial: Trial


@runtime_checkable
class DrawnTrials(Protocol):
    """What an adaptive design takes from the results, as `equistudy.results` gives them."""

    def list_levels(self, study: str) -> list[str]:
        """The levels of each trial of the study, as JSON."""
        ...

    def collect_final_scores(self, score: str) -> dict[str, float]:
        """The score of each trial that was trained to its end, by id."""
        ...


class Design:
    """Base of the designs: what trials a study has."""

    factors: tuple[Factor, ...]

    @property
    def is_adaptive(self) -> bool:
        """Whether trials are drawn while the study runs, so that its cells follow from the results."""
        return False

    def count_draws(self) -> int | None:
        """How many trials an adaptive design draws; None where all trials are known from the start."""
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the factors."""
        return tuple(factor.name for factor in self.factors)

    def with_draws(self, results: DrawnTrials, study: str) -> "Design":
        """The design as far as the results of the study of this name determine it: all of it from the start."""
        return self

    def try_trials(self) -> tuple[Cell, ...]:
        """Builds some trials of a design whose cells are not known yet, so that what their function raises is known."""
        return ()

    def cells(self) -> Iterator[Cell]:
        """Every row of the design, seeds varying slowest, so that each replicate is complete before the next."""
        raise NotImplementedError

    @cached_property
    def identified_cells(self) -> tuple[tuple[str, Cell], ...]:
        """Every row with the id of its trial, computed once: a plan, a table and a verdict are about the same trials.

        The garbage collector rests meanwhile: all of 100,000 cells are kept, and walking them takes 0.3 of 2 seconds.
        """
        with pause_garbage_collection():
            return tuple((cell.trial.id, cell) for cell in self.cells())

    def __getstate__(self) -> dict[str, Any]:
        """Without the cells: they are built again where they are needed."""
        return {name: value for name, value in self.__dict__.items() if name != "identified_cells"}

    def __len__(self) -> int:
        raise NotImplementedError

    def __add__(self, other: "Design") -> "Design":
        return CombinedDesign(parts=(self, other))


@dataclass(frozen=True)
class Factorial(Design):
    """Every combination of the levels with every seed. Made by `factorial`."""

    function: Callable[..., Trial]
    factors: tuple[Factor, ...]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        check_number(len(self), "The trials of a factorial design")

    def cells(self) -> Iterator[Cell]:
        """Every combination, replicate by replicate."""
        names = [factor.name for factor in self.factors]
        for seed in self.seeds:
            for levels in product(*(factor.levels for factor in self.factors)):
                row = dict(zip(names, levels, strict=True))
                yield Cell(row, seed, self.function(**row, seed=seed))

    def __len__(self) -> int:
        count = len(self.seeds)
        for factor in self.factors:
            count *= len(factor.levels)
        return count


@dataclass(frozen=True)
class CombinedDesign(Design):
    """Several designs one after the other: conditions add. A trial that two of them name is trained once."""

    parts: tuple[Design, ...]

    @property
    def factors(self) -> tuple[Factor, ...]:  # type: ignore[override]
        """The factors of all parts; levels of the same factor are joined."""
        joined: dict[str, Factor] = {}
        for factor in (factor for part in self.parts for factor in part.factors):
            before = joined.get(factor.name)
            extra = tuple(level for level in factor.levels if before is not None and level not in before.levels)
            joined[factor.name] = (
                factor if before is None else Factor(before.name, before.levels + extra, before.unit, before.log)
            )
        return tuple(joined.values())

    def try_trials(self) -> tuple[Cell, ...]:
        """Those of each part."""
        return tuple(cell for part in self.parts for cell in part.try_trials())

    def cells(self) -> Iterator[Cell]:
        """The rows of each part in turn."""
        for part in self.parts:
            yield from part.cells()

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)


def suggest_names(name: str, names: Iterable[str]) -> str:
    """The way out of a misspelt name: the most similar ones, or all of them."""
    every = sorted(names)
    close = difflib.get_close_matches(name, every, n=3)
    if not every:
        return "There are none to choose from."
    return f"Did you mean {' or '.join(close)}?" if close else f"Choose from: {', '.join(every)}."


def factorial(trial: Callable[..., Trial], *factors: Factor, seeds: Sequence[int]) -> Factorial:
    """Every combination of the factors' levels, each with every seed.

    Checks the factors against the signature of `trial`: each must be one of its parameters, and each parameter
    without a default needs a factor. `trial` must take `seed`.
    """
    chosen = take_bounded(seeds, "The seeds")
    wrong = [seed for seed in chosen if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0]
    if wrong or not chosen or len(set(chosen)) != len(chosen):
        shown = wrong or list(chosen)
        raise ValueError(
            "seeds must be one or more distinct integers, none of them negative, got seeds="
            f"{shown[:10]}{' and more' if len(shown) > 10 else ''}. Use range(5) for five replicates."
        )
    if not callable(trial):
        raise TypeError(f"factorial takes a function that builds a trial first, got {trial!r}. Pass the function.")
    for factor in factors:
        if not isinstance(factor, Factor):
            raise TypeError(f"factorial takes factors after the function, got {factor!r}. Write Factor(name, levels).")
    parameters = dict(inspect.signature(trial).parameters)
    if "seed" not in parameters:
        raise ValueError(
            f"The trial function must take 'seed', got {trial.__name__}({', '.join(parameters)}). "
            "Add seed: int and pass it to Trial."
        )
    names = [factor.name for factor in factors]
    if len(set(names)) != len(names):
        raise ValueError(f"Each factor may appear once, got {', '.join(names)}.")
    takes = [name for name in parameters if name != "seed"]
    for name in names:
        if name not in takes:
            raise ValueError(
                f"Factor {name!r} is not a parameter of {trial.__name__}({', '.join(parameters)}). "
                f"{suggest_names(name, takes)}"
            )
    empty = inspect.Parameter.empty
    missing = [name for name in takes if name not in names and parameters[name].default is empty]
    if missing:
        raise ValueError(
            f"Each parameter of {trial.__name__} needs a factor or a default, got neither for {', '.join(missing)}."
        )
    return Factorial(trial, factors, chosen)


def nested(
    trial: Callable[..., Trial],
    outer: str,
    inner: str,
    levels: Mapping[Any, Iterable[Any]],
    *factors: Factor,
    seeds: Sequence[int],
) -> Design:
    """As `factorial`, with two more factors of which one lies within the other, as networks lie within families.

    `levels` maps each level of `outer` to its levels of `inner`: each of these is run with that one alone.
    """
    if not levels:
        raise ValueError(f"At least one level of {outer!r} with its levels of {inner!r} is needed, got none.")
    parts = (
        factorial(trial, Factor(outer, (level,)), Factor(inner, tuple(inside)), *factors, seeds=seeds)
        for level, inside in levels.items()
    )
    return CombinedDesign(tuple(parts))


def get_components(trial: Trial) -> dict[str, Spec]:
    """The components of a trial by name."""
    return {name: getattr(trial, name) for name in COMPONENTS}
