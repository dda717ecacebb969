"""Settings of a command line, `recipe.epochs=2` or `width=4,8`: fields and levels that replace those of a study."""

import ast
import re
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from equistudy.spec import Spec, compute_digest, format_label
from equistudy.study.design import CombinedDesign, Design, Factor, Factorial, suggest_names
from equistudy.study.study import Study
from equistudy.study.trial import COMPONENTS, Trial

__all__ = ["Setting", "apply_settings", "format_settings", "parse_setting"]

SEEDS = "seeds"
MAX_NAME = 60  # characters of a name made of settings; a longer one is cut and gets a digest
Resolve = Callable[[str], Any]
Check = Callable[[Any], Any]


class Setting(NamedTuple):
    """Where a value goes, and its text: a factor or `seeds` by name, a field of each trial by its path."""

    path: tuple[str, ...]
    text: str

    @property
    def name(self) -> str:
        """The path as it is written."""
        return ".".join(self.path)

    def __str__(self) -> str:
        return f"{self.name}={self.text}"


def parse_setting(text: str) -> Setting:
    """The setting that a text such as `recipe.epochs=2` states. Raises ValueError for another form."""
    name, equals, value = text.partition("=")
    path = tuple(name.strip().split("."))
    if not equals or not value.strip() or not all(part.isidentifier() for part in path):
        raise ValueError(
            f"A setting is NAME=VALUE, got {text!r}. For example recipe.epochs=2, or width=4,8 for the levels of a "
            "factor."
        )
    return Setting(path, value.strip())


def format_settings(settings: Sequence[Setting]) -> str:
    """The settings as part of a file's name."""
    name = re.sub(r"[^A-Za-z0-9=.,_-]+", "_", "-".join(map(str, settings)))
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}-{compute_digest(name, 's')}"


def apply_settings(study: Study, settings: Sequence[Setting], resolve: Resolve) -> Study:
    """The study with every setting applied in turn; `resolve` finds a public class by its name.

    A factor's name takes levels, `seeds` takes seeds, and a path such as `recipe.epochs` one value for that field of
    every trial that has it. Everything is checked as in the study's file, and is part of the trials' ids. Raises
    ValueError for a name that the study does not have, and for a value that does not fit.
    """
    for setting in settings:
        if len(setting.path) == 1:
            study = replace(study, design=_set_levels(study.design, setting, resolve))
        else:
            study = replace(study, design=_set_field(study.design, setting, resolve))
    return study


def _set_levels(design: Design, setting: Setting, resolve: Resolve) -> Design:
    name = setting.name
    if name == SEEDS:
        seeds = tuple(_parse_whole_numbers(setting))
        return _map_parts(design, lambda part: replace(part, seeds=seeds), setting)
    factors = {factor.name: factor for factor in design.factors}
    if name not in factors:
        known = [*factors, SEEDS, *(f"{component}.FIELD" for component in COMPONENTS)]
        raise ValueError(f"The study has no factor {name!r}, got --set {setting}. {suggest_names(name, known)}")
    chosen = _choose_levels(factors[name], setting, resolve)
    labels = {format_label(level) for level in chosen}
    parts = [part for part in _list_parts(design) if name in part.names]
    alike = len({next(factor.levels for factor in part.factors if factor.name == name) for part in parts}) == 1

    def change(part: Factorial) -> Factorial | None:
        """The part with the chosen levels, or with those of them that are its own where parts differ."""
        own = next((factor for factor in part.factors if factor.name == name), None)
        if own is None:
            return part
        levels = chosen if alike else tuple(level for level in own.levels if format_label(level) in labels)
        if not levels:
            return None
        changed = tuple(replace(factor, levels=levels) if factor is own else factor for factor in part.factors)
        return replace(part, factors=changed)

    return _map_parts(design, change, setting)


def _list_parts(design: Design) -> Iterator[Design]:
    if isinstance(design, CombinedDesign):
        for part in design.parts:
            yield from _list_parts(part)
    else:
        yield design


def _map_parts(design: Design, change: Callable[[Factorial], Factorial | None], setting: Setting) -> Design:
    """The design with each factorial part changed; parts that become None are left out."""
    changed: list[Design] = []
    for part in _list_parts(design):
        if not isinstance(part, Factorial):
            raise ValueError(
                f"A search draws its levels, got --set {setting}. Set a field of its trials, such as recipe.epochs=2, "
                "or edit its space in the study file."
            )
        kept = change(part)
        if kept is not None:
            changed.append(kept)
    if not changed:
        raise ValueError(f"No part of the design has a level of --set {setting}. plan STUDY lists the levels.")
    return changed[0] if len(changed) == 1 else CombinedDesign(tuple(changed))


def _choose_levels(factor: Factor, setting: Setting, resolve: Resolve) -> tuple[Any, ...]:
    """The levels that a text names: some of the factor's own by their labels, or values of the same type."""
    own = {format_label(level): level for level in factor.levels}
    levels = []
    for value in _parse_values(setting.text, resolve):
        label = format_label(value)
        if label in own:
            levels.append(own[label])
        elif all(isinstance(level, int) and not isinstance(level, bool) for level in factor.levels):
            levels.append(_check_kind(value, int, setting, "whole numbers"))
        elif factor.is_numeric:
            levels.append(float(_check_kind(value, (int, float), setting, "numbers")))
        elif isinstance(value, Spec) and all(isinstance(level, (Spec, type(None))) for level in factor.levels):
            levels.append(value)
        else:
            raise ValueError(
                f"{label!r} is no level of factor {factor.name!r}, got --set {setting}. {suggest_names(label, own)}"
            )
    return tuple(levels)


def _check_kind(value: Any, kind: type | tuple[type, ...], setting: Setting, words: str) -> Any:
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    raise ValueError(f"The levels of {setting.name!r} are {words}, got {value!r} in --set {setting}.")


def _parse_whole_numbers(setting: Setting) -> list[int]:
    """`0,1,2` or `0-4`."""
    numbers: list[int] = []
    for part in setting.text.split(","):
        found = re.fullmatch(r"\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*", part)
        if found is None:
            raise ValueError(f"{SEEDS} takes whole numbers, got --set {setting}. For example {SEEDS}=0-4.")
        first, last = int(found[1]), int(found[2] or found[1])
        numbers.extend(range(first, last + 1))
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"{SEEDS} takes distinct whole numbers in ascending ranges, got --set {setting}. For example {SEEDS}=0-4."
        )
    return numbers


def _parse_values(text: str, resolve: Resolve) -> list[Any]:
    """The values between commas: numbers, strings, public classes with their arguments. Other texts are strings."""
    try:
        body = ast.parse(f"({text},)", mode="eval").body
    except SyntaxError:
        return [part.strip() for part in text.split(",")]
    assert isinstance(body, ast.Tuple)
    return [_evaluate(item, resolve) for item in body.elts]


def _evaluate(node: ast.expr, resolve: Resolve) -> Any:
    """A literal, a tuple, or a call of a public class with such arguments; the text of anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and None not in {k.arg for k in node.keywords}:
        kind = resolve(node.func.id)
        positional = [_evaluate(argument, resolve) for argument in node.args]
        try:
            return kind(*positional, **{str(k.arg): _evaluate(k.value, resolve) for k in node.keywords})
        except TypeError as error:
            raise ValueError(f"{ast.unparse(node)} cannot be made: {error}.") from error
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(_evaluate(item, resolve) for item in node.elts)
    try:
        return ast.literal_eval(node)
    except ValueError:
        text = ast.unparse(node)
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)


@dataclass(frozen=True)
class TrialWithField:
    """A trial function whose trials get a value at a path, where they have that field."""

    function: Callable[..., Trial]
    path: tuple[str, ...]
    check: Check

    def __call__(self, **levels: Any) -> Trial:
        trial = self.function(**levels)
        return _replace_at(trial, self.path, self.check) if _has_field(trial, self.path) else trial


def _set_field(design: Design, setting: Setting, resolve: Resolve) -> Design:
    values = _parse_values(setting.text, resolve)
    value = values[0] if len(values) == 1 else tuple(values)
    before = [cell.trial for cell in (*design.cells(), *design.try_trials())]
    _find_field(before, setting)
    wrapped = _wrap_functions(design, lambda function: TrialWithField(function, setting.path, _Fit(value, setting)))
    after = {cell.trial for cell in (*wrapped.cells(), *wrapped.try_trials())}
    if len(after) < len(set(before)):
        names = ", ".join(design.names) or "none"
        raise ValueError(
            f"A factor of the design already varies {setting.name}, got --set {setting}, which would make trials "
            f"identical. Set the factor's levels instead: --set FACTOR=LEVELS, where FACTOR is one of: {names}."
        )
    return wrapped


def _wrap_functions(design: Design, wrap: Callable[[Callable[..., Trial]], Callable[..., Trial]]) -> Design:
    if isinstance(design, CombinedDesign):
        return CombinedDesign(tuple(_wrap_functions(part, wrap) for part in design.parts))
    return replace(design, function=wrap(design.function))  # type: ignore[type-var, attr-defined]


def _find_field(trials: Sequence[Trial], setting: Setting) -> None:
    """Raises ValueError where no trial has the field, with the names that are near."""
    if any(_has_field(trial, setting.path) for trial in trials):
        return
    for depth in range(len(setting.path)):
        owners = [owner for trial in trials if (owner := _get_at(trial, setting.path[:depth])) is not None]
        names = sorted({field.name for owner in owners if is_dataclass(owner) for field in fields(owner)})
        if setting.path[depth] not in names:
            kinds = " or ".join(sorted({type(owner).__name__ for owner in owners}))
            raise ValueError(
                f"{kinds} has no field {setting.path[depth]!r}, got --set {setting}. "
                f"{suggest_names(setting.path[depth], names)}"
            )
    raise ValueError(f"No trial of the study has the field {setting.name}, got --set {setting}.")


def _get_at(owner: Any, path: Sequence[str]) -> Any:
    for name in path:
        owner = getattr(owner, name, None)
    return owner


def _has_field(owner: Any, path: Sequence[str]) -> bool:
    holder = _get_at(owner, path[:-1])
    return is_dataclass(holder) and path[-1] in {field.name for field in fields(holder)}


def _replace_at(owner: Any, path: Sequence[str], check: "Check") -> Any:
    if len(path) == 1:
        value = check(owner)
        try:
            return replace(owner, **{path[0]: value})
        except TypeError as error:
            raise ValueError(f"{error} Check --set.") from error
    return replace(owner, **{path[0]: _replace_at(getattr(owner, path[0]), path[1:], check)})


@dataclass(frozen=True)
class _Fit:
    """The value as the field of an owner takes it: an enum by its value, a tuple of one, an int for a float."""

    value: Any
    setting: Setting

    def __call__(self, owner: Any) -> Any:
        hint = get_type_hints(type(owner)).get(self.setting.path[-1], Any)
        options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        for option in options:
            if isinstance(option, type) and issubclass(option, Enum):
                for member in option:
                    if self.value in (member.value, member.name):
                        return member
            if get_origin(option) is tuple and not isinstance(self.value, tuple):
                return (self.value,)
            if option is str and not isinstance(self.value, str) and len(options) == 1:
                return self.setting.text
        enums = [option for option in options if isinstance(option, type) and issubclass(option, Enum)]
        if enums and not any(isinstance(self.value, option) for option in options if isinstance(option, type)):
            names = [str(member.value) for option in enums for member in option]
            raise ValueError(
                f"{self.setting.name} takes one of {', '.join(names)}, got --set {self.setting}. "
                f"{suggest_names(str(self.value), names)}"
            )
        return self.value
