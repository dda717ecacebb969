"""Run-time checks of annotations while tests run: shapes where a function names arrays, types everywhere.

jaxtyping's hook binds the arguments of every call by name to check shapes, which takes ten times as long as beartype's
own check, and most functions name no array. Here only those that do are left to jaxtyping, and constructors, for tests
of what a user is told, who has none of these checks: jaxtyping's can be switched off.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
import jaxtyping._decorator

_check_shapes = jaxtyping.jaxtyped


def check_shapes_of_arrays_alone() -> None:
    """Must run before the first import of a package that the hook decorates."""
    jaxtyping.jaxtyped = jaxtyping._decorator.jaxtyped = _decorate


def _decorate(decorated: Any = None, *, typechecker: Callable[[Any], Any] | None) -> Any:
    if decorated is None:
        return functools.partial(_decorate, typechecker=typechecker)
    if typechecker is None or not inspect.isfunction(decorated):
        return _check_shapes(decorated, typechecker=typechecker)  # of a class or a property, its functions come here
    if decorated.__name__ == "__init__":
        return _check_shapes(decorated, typechecker=typechecker)
    if any(names_an_array(annotation) for annotation in inspect.get_annotations(decorated).values()):
        return _check_shapes(decorated, typechecker=typechecker)
    return typechecker(decorated)


def names_an_array(annotation: object) -> bool:
    """Whether a type of jaxtyping is anywhere in an annotation; in text, which is not evaluated here, there may be."""
    if isinstance(annotation, str):
        return True
    if isinstance(annotation, list | tuple):  # the arguments of a Callable
        return any(names_an_array(part) for part in annotation)
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    return any(names_an_array(part) for part in typing.get_args(annotation))
