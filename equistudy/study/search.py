"""The adaptive design: Ray Tune draws the levels, looks at the scores and draws again."""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from equistudy.spec import label
from equistudy.study.design import Cell, Design, Factor, nearest
from equistudy.study.trial import Trial

__all__ = ["Mode", "Search", "search"]


class Mode(Enum):
    """Whether the best score is the largest or the smallest."""

    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, eq=False)
class Search(Design):
    """A design whose trials are drawn while it runs. Made by `search`.

    What is known of it are the trials that the results hold for the study: `sampled` are their levels.
    """

    function: Callable[..., Trial]
    space: Mapping[str, Any]
    num_samples: int
    score: str
    mode: Mode
    algorithm: Any
    scheduler: Any
    seed: int
    sampled: tuple[Mapping[str, Any], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The factors' names, known before their levels are."""
        return tuple(self.space)

    @property
    def factors(self) -> tuple[Factor, ...]:  # type: ignore[override]
        """The factors with the levels drawn so far."""
        drawn = {name: [levels[name] for levels in self.sampled] for name in self.names}
        return tuple(
            Factor(name, tuple({label(level): level for level in sorted(levels, key=_order)}.values()))
            for name, levels in drawn.items()
            if levels
        )

    def cells(self) -> Iterator[Cell]:
        """The trials drawn so far."""
        for levels in self.sampled:
            yield self.cell(levels)

    def cell(self, levels: Mapping[str, Any]) -> Cell:
        """The row of the design that these levels make."""
        return Cell(dict(levels), self.seed, self.function(**levels, seed=self.seed))

    def __len__(self) -> int:
        return len(self.sampled)

    def known(self, sampled: Iterable[str]) -> "Search":
        """The same design with what was drawn so far, as JSON texts of levels: a level that is a spec has its label."""
        choices = {
            name: {label(choice): choice for choice in getattr(domain, "categories", None) or ()}
            for name, domain in self.space.items()
        }
        drawn = []
        for text in sampled:
            levels = json.loads(text)
            if levels.keys() == choices.keys():  # rows of another search under the same name stay out of sight
                drawn.append({name: choices[name].get(str(level), level) for name, level in levels.items()})
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Search(**{**values, "sampled": tuple(drawn)})


def _order(level: Any) -> tuple[bool, Any]:
    """Numbers by size, then everything else by its label."""
    number = isinstance(level, (int, float))
    return not number, level if number else label(level)


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
) -> Search:
    """Trials drawn from `space` by Ray Tune, whose own objects are used as they are.

    `space` maps parameters of `trial` to domains such as `tune.loguniform(1e-3, 1)` or `tune.choice([...])`.
    `algorithm` suggests (None: at random; `OptunaSearch`, ...), `scheduler` stops early (`ASHAScheduler`, ...; its time
    attribute is `epoch`). `score` is a column of the results: split and name of a curve.
    """
    parameters = [name for name in inspect.signature(trial).parameters if name != "seed"]
    for name in space:
        if name not in parameters:
            raise ValueError(
                f"{name!r} of the space is no parameter of {trial.__name__}({', '.join(parameters)}). "
                f"{nearest(name, parameters)}"
            )
    if not space or num_samples < 1:
        raise ValueError(
            f"A search needs a space and at least one sample, got {len(space)} parameters and {num_samples} samples."
        )
    if isinstance(mode, str) and mode not in [option.value for option in Mode]:
        raise ValueError(f"mode must be max or min, got mode={mode!r}.")
    return Search(trial, dict(space), num_samples, score, Mode(mode), algorithm, scheduler, seed)
