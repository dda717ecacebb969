"""Base class of specs: frozen dataclasses that flatten to table columns and hash to an id."""

import dataclasses
import difflib
import hashlib
import inspect
import json
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from torch import Generator, Tensor
else:
    # Specs are read, planned and digested without torch, whose import takes seconds. jaxtyping checks the shape and
    # type of anything that has them, so `Float[Tensor, "B C H W"]` is executed by the tests all the same.
    Tensor = Generator = Any

from equistudy.code_digest import compute_code_digest
from equistudy.field_values import FieldCheck, build_checks, find_unusable

__all__ = [
    "CheckedFields",
    "Generator",
    "Spec",
    "Tensor",
    "added_field",
    "compute_digest",
    "flatten_spec",
    "format_label",
    "location_field",
    "respelled",
    "to_canonical_json",
    "to_plain_data",
    "to_table_value",
]

Scalar = None | bool | int | float | str


def location_field(default: str | None) -> Any:
    """A field that says where something lies, not what it is: no part of the identity, of labels or of columns."""
    return dataclasses.field(default=default, metadata={"location": True})


def respelled(default: Any, spelled: Mapping[Enum, str]) -> Any:
    """A field whose choices enter ids and tables under other values than their own, as `spelled` says.

    One enum then serves several specs, whose results were there before the enum was theirs.
    """
    return dataclasses.field(default=default, metadata={"spelled": spelled})


def added_field(default: Any, spelled: Mapping[Enum, str] | None = None) -> Any:
    """A field that a spec got when results of it were there already; given by keyword.

    While it has its default it is no part of the identity, so that those results keep their trials. The default must
    mean what the spec did before. `spelled` is as in `respelled`.
    """
    return dataclasses.field(default=default, kw_only=True, metadata={"added": True, "spelled": spelled})


_CHECKS: dict[type, tuple[tuple[FieldCheck, ...], dict[str, FieldCheck]]] = {}
_new = object.__new__


class _InitSignature:
    """The signature of a checked class: that of its `__init__`, where Python 3.11 shows that of `__new__`."""

    def __get__(self, instance: "CheckedFields | None", owner: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        signature = inspect.signature(owner.__init__)  # type: ignore[misc]
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class CheckedFields:
    """Base of dataclasses whose arguments are checked against the annotations of their fields.

    A class that takes other forms of a field, such as a list for a tuple, names it in `COERCED` and checks it itself.
    """

    COERCED: ClassVar[frozenset[str]] = frozenset()
    __signature__: ClassVar[Any] = _InitSignature()

    if not TYPE_CHECKING:

        def __new__(cls, *values: Any, **named: Any) -> Any:
            """Checks the arguments before `__post_init__` compares them.

            This is no wrapper around `__init__` or `__post_init__`, and no metaclass: subclasses stay as they are
            written, so that their code digests do not change and they can have other bases. The loops are written out
            here because planning 100,000 trials constructs 700,000 specs.
            """
            if values or named:
                try:
                    positional, by_name = _CHECKS[cls]
                except KeyError:
                    positional, by_name = _CHECKS[cls] = build_checks(cls, cls.COERCED)
                try:
                    for value, (accepted, numbers, check) in zip(values, positional):  # noqa: B905 -- __init__ counts
                        kind = type(value)
                        if kind not in accepted and not (kind in numbers and -9e18 < value < 9e18):
                            check(value)
                    for name, value in named.items():
                        if name not in by_name:
                            _check_is_parameter(cls, name)
                        else:
                            accepted, numbers, check = by_name[name]
                            kind = type(value)
                            if kind not in accepted and not (kind in numbers and -9e18 < value < 9e18):
                                check(value)
                except (TypeError, ValueError) as error:
                    raise _find_own_error(cls, values, named) or error from None
            return _new(cls)


@dataclasses.dataclass(frozen=True)
class Spec(CheckedFields):
    """Base of everything that a study names: a frozen dataclass whose fields are its whole configuration.

    `REVISION` is raised by every change of the code that changes numbers; it is part of each id that names the spec.
    So is a digest of the code (`code_digest`) where a spec is not equistudy's own.
    """

    REVISION: ClassVar[int] = 1
    _code_digest: ClassVar[str]

    def __str__(self) -> str:
        return format_label(self)

    @cached_property
    def _text(self) -> str:
        # kept with the spec and not in a table of all specs: hashing a nested spec takes longer than digesting its text
        return json.dumps(to_plain_data(self), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_is_parameter(kind: type[CheckedFields], name: str) -> None:
    """Raises TypeError for a name that the class has no parameter for, with the names that are near."""
    parameters = inspect.signature(kind.__init__).parameters
    if name in parameters or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return
    known = sorted(set(parameters) - {"self"})
    close = difflib.get_close_matches(name, known, n=3)
    way_out = f"Did you mean {' or '.join(close)}?" if close else f"Its fields: {', '.join(known) or 'none'}."
    raise TypeError(f"{kind.__name__} has no field {name!r}. {way_out}")


def _find_own_error(kind: type[CheckedFields], values: tuple[Any, ...], named: dict[str, Any]) -> Exception | None:
    """The error of the class itself for arguments that it cannot have, which says more than the general one."""
    if any(isinstance(value, int) and find_unusable(value) for value in (*values, *named.values())):
        return None  # the class may count to it
    try:
        _new(kind).__init__(*values, **named)  # type: ignore[misc]
    except (TypeError, ValueError) as error:
        return error if ", got " in str(error) else None
    except Exception:
        return None
    return None


def compute_digest(text: str, letter: str) -> str:
    """An id for `text`: the letter, an underscore and 16 hexadecimal digits of SHA-256.

    The letter keeps an id that happens to consist of digits from being read as a number.
    """
    return f"{letter}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class _Field(NamedTuple):
    """A field that belongs to the identity; `added` ones only while they differ from their default."""

    name: str
    convert: Callable[[Any], Any]
    default: Any
    added: bool


_FIELDS: dict[type[Spec], tuple[_Field, ...]] = {}


def _get_fields(kind: type[Spec]) -> tuple[_Field, ...]:
    """The fields that belong to the identity, sorted by name; found once a class."""
    if kind not in _FIELDS:
        hints = get_type_hints(kind)
        _FIELDS[kind] = tuple(
            _Field(
                field.name,
                _build_converter(hints[field.name], f"{kind.__name__}.{field.name}", field.metadata.get("spelled")),
                field.default,
                "added" in field.metadata,
            )
            for field in sorted(dataclasses.fields(kind), key=lambda field: field.name)
            if not field.metadata.get("location")
        )
    return _FIELDS[kind]


def _build_converter(hint: Any, where: str, spelled: Mapping[Enum, str] | None = None) -> Callable[[Any], Any]:
    """How a field's value becomes plain JSON. An int in a float field counts as that float: 1 and 1.0 are one level."""
    if spelled:
        return lambda value: spelled[value] if value in spelled else _to_plain(value, where)
    options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if float in options:
        return lambda value: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if get_origin(hint) is tuple:
        element = _build_converter(get_args(hint)[0], where)
        return lambda values: [element(value) for value in values]
    return lambda value: _to_plain(value, where)


def _to_plain(value: Any, where: str) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Spec):
        return to_plain_data(value)
    if isinstance(value, tuple):
        return [_to_plain(item, where) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"A spec holds numbers, strings, None, enums, specs and tuples of them, got {where}={value!r} of type "
        f"{type(value).__name__}. Use a tuple for a list, a frozen dataclass for a dict."
    )


def _get_kind_name(kind: type[Spec]) -> str:
    """The class name; with its module in front when a study file or another package defines the spec."""
    return kind.__name__ if _is_built_in(kind) else f"{kind.__module__}.{kind.__name__}"


def _is_built_in(kind: type[Spec]) -> bool:
    return kind.__module__.startswith("equistudy.")


def _get_code_digest(kind: type[Spec]) -> str:
    """The digest of the code of a user's own spec, kept with the class: sent to a worker by value, it has no file."""
    if "_code_digest" not in vars(kind):
        kind._code_digest = compute_code_digest(kind)
    return kind._code_digest


def to_plain_data(spec: Spec) -> dict[str, Any]:
    """The spec as nested plain data: its class, its revision, the digest of a user's own code, and its fields.

    Locations are left out, and so are added fields that have their default.
    """
    kind = type(spec)
    data: dict[str, Any] = {"spec": _get_kind_name(kind), "revision": kind.REVISION}
    if not _is_built_in(kind):
        data["code"] = _get_code_digest(kind)
    for field in _get_fields(kind):
        value = getattr(spec, field.name)
        if not (field.added and value == field.default):
            data[field.name] = field.convert(value)
    return data


def to_canonical_json(spec: Spec) -> str:
    """The one JSON text of a spec: sorted keys, no spaces. Equal specs have equal texts."""
    return spec._text


def format_label(value: Any) -> str:
    """A short name for a level: a spec shows its class and the fields that differ from their defaults."""
    if isinstance(value, Spec):
        return _format_spec_label(value)
    if isinstance(value, tuple):
        return f"({', '.join(format_label(item) for item in value)})"
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def to_table_value(level: Any) -> Any:
    """A level as tables show it: numbers as they are, everything else by its label."""
    return level if isinstance(level, (int, float)) and not isinstance(level, bool) else format_label(level)


@lru_cache(maxsize=65536)
def _format_spec_label(spec: Any) -> str:
    order = [field.name for field in dataclasses.fields(spec)]
    shown = {field.name for field in _get_fields(type(spec)) if getattr(spec, field.name) != field.default}
    inside = ", ".join(f"{name}={format_label(getattr(spec, name))}" for name in order if name in shown)
    return f"{type(spec).__name__}({inside})" if inside else type(spec).__name__


def flatten_spec(spec: Spec, prefix: str = "") -> dict[str, Scalar]:
    """The spec as columns: `model` is a component's label, `model.depth` a field, `model.revision` its revision.

    `model.code` names the class and the digest of its code where a component is the user's own.
    """
    columns: dict[str, Scalar] = {}
    for name, convert, *_ in _get_fields(type(spec)):
        value, column = getattr(spec, name), f"{prefix}{name}"
        if isinstance(value, Spec):
            columns[column] = format_label(value)
            columns[f"{column}.revision"] = type(value).REVISION
            if not _is_built_in(type(value)):
                columns[f"{column}.code"] = f"{_get_kind_name(type(value))} {_get_code_digest(type(value))}"
            columns.update(flatten_spec(value, f"{column}."))
        elif isinstance(value, tuple):
            columns[column] = format_label(value)
        else:
            columns[column] = convert(value)
    return columns
