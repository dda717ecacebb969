"""The adaptive design: Ray Tune draws the levels, looks at the scores and draws again."""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import isfinite
from typing import Any

from equistudy.spec import format_label
from equistudy.study.design import Cell, Design, DrawnTrials, Factor, suggest_names
from equistudy.study.trial import Trial

__all__ = ["CONFIRMATION", "DRAWN", "ROUND", "Mode", "Search", "search"]

DRAWN, CONFIRMATION = "drawn", "confirmation"
ROUND = Factor("round", (DRAWN, CONFIRMATION))


class Mode(Enum):
    """Whether the best score is the largest or the smallest."""

    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, eq=False)
class Search(Design):
    """A design whose trials are drawn while it runs. Made by `search`.

    What is known of it are the trials that the results hold for the study: `sampled` are their levels. Once all are
    over, the best of those that were trained to the end is known too, and is trained again with the seeds of `confirm`,
    which had no part in its choice. The factor `ROUND` tells these trials, the confirmation, from the drawn ones.
    """

    function: Callable[..., Trial]
    space: Mapping[str, Any]
    num_samples: int
    score: str
    mode: Mode
    algorithm: Any
    scheduler: Any
    seed: int
    confirm: tuple[int, ...] = ()
    sampled: tuple[Mapping[str, Any], ...] = ()
    best: Mapping[str, Any] | None = None

    @property
    def is_adaptive(self) -> bool:
        """True: later draws depend on earlier scores."""
        return True

    def count_draws(self) -> int:
        """How many trials are drawn, without the confirmation."""
        return self.num_samples

    @property
    def drawn_names(self) -> tuple[str, ...]:
        """The names of what is drawn."""
        return tuple(self.space)

    @property
    def names(self) -> tuple[str, ...]:
        """The factors' names, known before their levels are."""
        return (*self.drawn_names, ROUND.name) if self.confirm else self.drawn_names

    @property
    def factors(self) -> tuple[Factor, ...]:  # type: ignore[override]
        """The factors with the levels drawn so far."""
        drawn = {name: [levels[name] for levels in self.sampled] for name in self.drawn_names}
        factors = [
            Factor(name, tuple({format_label(level): level for level in sorted(levels, key=_get_sort_key)}.values()))
            for name, levels in drawn.items()
            if levels
        ]
        return (*factors, ROUND) if factors and self.confirm else tuple(factors)

    def cells(self) -> Iterator[Cell]:
        """The trials drawn so far, then the confirmation of the best."""
        for levels in self.sampled:
            yield self.build_cell(levels)
        if self.best is not None:
            for seed in self.confirm:
                yield self.build_cell(self.best, seed)

    def try_trials(self) -> tuple[Cell, ...]:
        """Builds the trials at the ends of each domain and between them, the others at their first example."""
        examples = {name: _list_examples(domain) for name, domain in self.space.items()}
        first = {name: values[len(values) // 2] for name, values in examples.items()}
        return tuple(self.build_cell({**first, name: value}) for name, values in examples.items() for value in values)

    def build_cell(self, levels: Mapping[str, Any], seed: int | None = None) -> Cell:
        """The row of the design that these levels make: drawn, or with a seed of the confirmation."""
        row = dict(levels)
        if self.confirm:
            row[ROUND.name] = DRAWN if seed is None else CONFIRMATION
        seed = self.seed if seed is None else seed
        return Cell(row, seed, self.function(**levels, seed=seed))

    def __len__(self) -> int:
        return len(self.sampled) + (0 if self.best is None else len(self.confirm))

    @property
    def is_over(self) -> bool:
        """Whether every trial that is to be drawn has been."""
        return len(self.sampled) >= self.num_samples

    def with_draws(self, results: DrawnTrials, study: str) -> "Search":
        """The design with what was drawn so far, and the confirmation once all draws are over."""
        return self.with_sampled(results.list_levels(study), results.collect_final_scores(self.score))

    def with_sampled(self, sampled: Iterable[str], ends: Mapping[str, float] | None = None) -> "Search":
        """The same design with what was drawn so far, as JSON texts of levels: a level that is a spec has its label.

        `ends` are the scores, by id, of the trials that were trained to the end.
        """
        choices = {
            name: {format_label(choice): choice for choice in getattr(domain, "categories", None) or ()}
            for name, domain in self.space.items()
        }
        drawn: dict[str, Mapping[str, Any]] = {}
        for text in sampled:
            levels = {name: level for name, level in json.loads(text).items() if name != ROUND.name}
            if levels.keys() == choices.keys():  # rows of another search under the same name stay out of sight
                drawn[json.dumps(levels)] = {
                    name: choices[name].get(str(level), level) for name, level in levels.items()
                }
        found = replace(self, sampled=tuple(drawn.values()))
        return replace(found, best=found._find_best(ends or {})) if self.confirm and found.is_over else found

    def _find_best(self, ends: Mapping[str, float]) -> Mapping[str, Any] | None:
        """The levels of the best of the drawn trials that were trained to the end; None where there is none."""
        scores = {place: ends.get(self.build_cell(levels).trial.id) for place, levels in enumerate(self.sampled)}
        known = {place: score for place, score in scores.items() if score is not None and isfinite(score)}
        if not known:
            return None
        choose = max if self.mode is Mode.MAX else min
        return self.sampled[choose(known, key=lambda place: known[place])]


def _list_examples(domain: Any) -> tuple[Any, ...]:
    """Levels of a domain of ours; one draw of Tune's own; a value that is no domain as it is."""
    if hasattr(domain, "list_examples"):
        return tuple(domain.list_examples())
    return (domain.sample(),) if hasattr(domain, "sample") else (domain,)


def _get_sort_key(level: Any) -> tuple[bool, Any]:
    """Numbers by size, then everything else by its label."""
    number = isinstance(level, (int, float))
    return not number, level if number else format_label(level)


def search(  # noqa: PLR0913 -- the words of Tune, each by its name
    trial: Callable[..., Trial],
    space: Mapping[str, Any],
    *,
    num_samples: int,
    score: str = "test_accuracy",
    mode: Mode | str = Mode.MAX,
    algorithm: Any = None,
    scheduler: Any = None,
    seed: int = 0,
    confirm: Sequence[int] = (),
) -> Search:
    """Trials drawn from `space` by Ray Tune, whose own objects may be used as they are.

    `space` maps parameters of `trial` to domains: `LogUniform(1e-3, 1)`, `Uniform`, `Choice`, or Tune's. `algorithm`
    suggests (None: at random; `OptunaSearch`, ...), `scheduler` stops early (`Halving`, or Tune's `ASHAScheduler`, ...
    with time attribute `epoch`). `score` is a column of the results: split and name of a curve. The best configuration
    is trained again with each seed of `confirm`.
    """
    parameters = [name for name in inspect.signature(trial).parameters if name != "seed"]
    for name in space:
        if name not in parameters:
            raise ValueError(
                f"{name!r} of the space is no parameter of {trial.__name__}({', '.join(parameters)}). "
                f"{suggest_names(name, parameters)}"
            )
    if not space or num_samples < 1:
        raise ValueError(
            f"A search needs a space and at least one sample, got {len(space)} parameters and {num_samples} samples."
        )
    if isinstance(mode, str) and mode not in [option.value for option in Mode]:
        raise ValueError(f"mode must be max or min, got mode={mode!r}.")
    _check_confirmation(space, tuple(confirm), seed)
    return Search(trial, dict(space), num_samples, score, Mode(mode), algorithm, scheduler, seed, tuple(confirm))


def _check_confirmation(space: Mapping[str, Any], confirm: tuple[int, ...], seed: int) -> None:
    if seed in confirm or len(set(confirm)) < len(confirm):
        raise ValueError(
            f"confirm must hold distinct seeds other than the seed of the search, got seed={seed}, "
            f"confirm={confirm}. For example confirm={tuple(range(seed + 1, seed + 4))}."
        )
    if confirm and ROUND.name in space:
        raise ValueError(
            f"{ROUND.name!r} is reserved: it separates drawn trials from their confirmation. Rename the parameter."
        )
    if confirm and not any(hasattr(domain, "low") or hasattr(domain, "lower") for domain in space.values()):
        raise ValueError(
            "A search with confirm must draw at least one parameter from an interval, so that no two draws are equal, "
            f"got only choices for {', '.join(space)}. Use factorial for a few levels."
        )
