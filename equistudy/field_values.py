"""Checks of the values given to a dataclass: their types against the annotations, and that numbers are usable."""

import dataclasses
import inspect
import math
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum, EnumType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

__all__ = ["FieldCheck", "build_checks", "find_unusable"]

PLAIN_TYPES = (bool, int, float, str, bytes)
INTEGER_BITS = 63  # what tables and seeds hold
SHOWN = 80  # characters of a value in a message
CONTAINER_NAMES: dict[Any, str] = {
    Iterable: "a tuple, a list or another iterable",
    Mapping: "a mapping",
    Sequence: "a sequence",
}
CHECKED_EACH = (int, float, str, Iterable)  # an instance says nothing about the next one


class FieldCheck(NamedTuple):
    """The check of one argument, which raises an error.

    It can be skipped for values of the types in `accepted`, where check adds those of which every value is right, and
    for numbers of the types in `numbers` below 9e18, which has 63 bits.
    """

    accepted: set[type]
    numbers: frozenset[type]
    check: Callable[[Any], None]


class _Field(NamedTuple):
    owner: type
    name: str
    hint: Any
    default: Any


def build_checks(kind: type, coerced: Collection[str] = ()) -> tuple[tuple[FieldCheck, ...], dict[str, FieldCheck]]:
    """The checks of a dataclass's positional arguments in their order, and of all its arguments by name.

    None are made for a class with an `__init__` of its own. Annotations that are not understood, such as type
    variables and names that cannot be resolved, are not checked. The fields in `coerced` take whatever can be iterated.
    """
    made = inspect.unwrap(kind.__init__)  # type: ignore[misc]
    code = getattr(made, "__code__", None)
    if code is None or code.co_filename != "<string>":  # the name that dataclass gives to the code it generates
        return (), {}
    hints = _resolve_hints(kind)
    hints |= {name: types.GenericAlias(Iterable, get_args(hints[name])[:1]) for name in coerced}
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    checks = {
        name: _build_check(_Field(kind, name, hints.get(name, Any), defaults.get(name, dataclasses.MISSING)))
        for name in names
    }
    return tuple(checks.values())[: code.co_argcount - 1], checks


def find_unusable(value: Any) -> str | None:
    """What is wrong with a number or a text that has the right type, looking into tuples; None if nothing is."""
    if isinstance(value, tuple):
        return next(filter(None, map(find_unusable, value)), None)
    if isinstance(value, int):
        return None if value.bit_length() <= INTEGER_BITS else f"integers of at most {INTEGER_BITS} bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "finite numbers"
    if isinstance(value, str):
        clean = value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
        return None if clean and "\0" not in value else "text without NUL and surrogate characters"
    return None


def _resolve_hints(kind: type) -> dict[str, Any]:
    """The annotations of the fields as types, without those that cannot be resolved."""
    try:
        return get_type_hints(kind)
    except Exception:
        found: dict[str, Any] = {}
        for name, field in kind.__dataclass_fields__.items():  # type: ignore[attr-defined]
            owner = next((each for each in kind.__mro__ if name in inspect.get_annotations(each)), kind)
            names = vars(sys.modules.get(owner.__module__, types))
            try:
                found |= get_type_hints(types.SimpleNamespace(__annotations__={name: field.type}), globalns=names)
            except Exception:
                continue
        return found


def _build_check(field: _Field) -> FieldCheck:
    accepted: set[type] = set()
    has_type = _build_test(field.hint) or _accept

    def check(value: Any) -> None:
        if value is field.default:
            return
        if not has_type(value):
            raise TypeError(
                f"{field.owner.__name__}.{field.name} must be {_describe_hint(field.hint)}, got "
                f"{field.name}={_show_value(value)}. {_suggest_value(value, field)}"
            )
        unusable = find_unusable(value)
        if unusable and not find_unusable(field.default):
            raise ValueError(
                f"{field.owner.__name__}.{field.name} takes {unusable}, got {field.name}={_show_value(value)}. "
                "Choose another value."
            )
        if type(value) is bool or not (isinstance(value, CHECKED_EACH) or _is_literal(field.hint)):
            accepted.add(type(value))  # any instance of this class is right

    options = _list_options(field.hint)
    numbers = frozenset((int, float) if float in options else (int,) if int in options else ())
    return FieldCheck(accepted, numbers, check)


def _build_test(hint: Any) -> Callable[[Any], bool] | None:  # noqa: PLR0911 -- one case for each kind
    """Whether a value has the type, or None for an annotation that is not understood."""
    origin, options = get_origin(hint), get_args(hint)
    if isinstance(hint, dataclasses.InitVar):
        return _build_test(hint.type)
    if origin is Literal:
        return lambda value: any(type(value) is type(option) and value == option for option in options)
    if origin in (Union, types.UnionType):
        tests = [_build_test(option) for option in options]
        return None if None in tests else lambda value: any(test(value) for test in tests if test)
    if origin is tuple:
        return _build_tuple_test(options)
    if (origin or hint) in CONTAINER_NAMES:
        return _build_container_test(origin or hint, options)
    if hint is None or hint is types.NoneType:
        return lambda value: value is None
    if not isinstance(hint, type) or origin is not None:
        return None
    if hint in (int, float):
        allowed = (int, float) if hint is float else (int,)
        return lambda value: isinstance(value, allowed) and not isinstance(value, bool)
    if hint in PLAIN_TYPES or hint is tuple or issubclass(hint, Enum) or dataclasses.is_dataclass(hint):
        return lambda value: isinstance(value, hint)
    return None


def _build_tuple_test(options: tuple[Any, ...]) -> Callable[[Any], bool]:
    tests = [_build_test(option) or _accept for option in options if option is not Ellipsis]
    if Ellipsis in options:
        return lambda value: isinstance(value, tuple) and all(map(tests[0], value))
    return lambda value: (
        isinstance(value, tuple)
        and len(value) == len(tests)
        and all(test(item) for test, item in zip(tests, value, strict=True))
    )


def _build_container_test(kind: type, options: tuple[Any, ...]) -> Callable[[Any], bool]:
    """A container that is no text. Items are tested where they are held: not those of a range or an iterator."""
    test = (_build_test(options[0]) if options and kind is not Mapping else None) or _accept
    return lambda value: (
        isinstance(value, kind)
        and not isinstance(value, (str, bytes, type))
        and (test is _accept or not isinstance(value, (tuple, list, set, frozenset, Mapping)) or all(map(test, value)))
    )


def _accept(value: Any) -> bool:
    return True


def _is_literal(hint: Any) -> bool:
    return get_origin(hint) is Literal or any(_is_literal(option) for option in get_args(hint))


def _list_options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _describe_hint(hint: Any) -> str:
    return " or ".join(_describe_option(option) for option in _list_options(hint))


def _describe_option(option: Any) -> str:
    known = {bool: "True or False", int: "an integer", float: "a number", str: "a string", types.NoneType: "None"}
    if option in known:
        return known[option]
    if get_origin(option) is tuple:
        inside = get_args(option)
        items = ", ".join("..." if each is Ellipsis else getattr(each, "__name__", str(each)) for each in inside)
        return f"a tuple ({items})"
    container = get_origin(option) or option
    if container in CONTAINER_NAMES:
        kinds = [getattr(each, "__name__", str(each)) for each in get_args(option) if each is not Any]
        return CONTAINER_NAMES[container] + (f" of {', '.join(kinds)}" if kinds else "")
    name = getattr(option, "__name__", str(option))
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}" if isinstance(option, type) else str(option)


def _show_value(value: Any) -> str:
    """The value as a message shows it: short, and never an error of its own."""
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS:
        return f"(an integer of {value.bit_length()} bits)"
    try:
        text = repr(value)
    except Exception:
        text = f"(a {type(value).__name__})"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _suggest_value(value: Any, field: _Field) -> str:
    options = _list_options(field.hint)
    choices: list[Any] = []
    for option in options:
        choices += list(option) if isinstance(option, EnumType) else []
    if choices:
        meant = [choice for choice in choices if isinstance(value, str) and value in (choice.value, choice.name)]
        names = ", ".join(f"{type(choice).__name__}.{choice.name}" for choice in meant or choices)
        return f"Use {names}." if meant else f"Use one of {names}."
    expected = "a whole number" if int in options else "a number" if float in options else "a value of that type"
    way_out = f"Use {expected}, not a value of type {type(value).__name__}."
    if isinstance(value, type):
        way_out = f"Call the class: {value.__name__}(...)."
    elif isinstance(value, list) and any(get_origin(option) is tuple for option in options):
        way_out = "Write it as a tuple, in parentheses."
    elif int in options and isinstance(value, float) and value.is_integer():
        way_out = f"Write {_show_value(int(value))}."
    elif dataclasses.is_dataclass(field.default):
        way_out = f"Write a call such as the default, {type(field.default).__name__}(...)."
    return way_out
