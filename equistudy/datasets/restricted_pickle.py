"""Reads pickles of plain data and byte arrays without running anything that they name."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from equistudy.datasets.contents import read_content

__all__ = ["read_pickle"]

MAX_DEPTH = 4  # of dicts within dicts
BYTE_TYPES = ("u1", "|u1", "uint8")


def read_pickle(path: Path) -> Any:
    """What the pickle holds: dicts, lists, tuples, strings, bytes, numbers and numpy arrays of unsigned bytes.

    A pickle is a program that may call anything by its name. Here the few names that numpy's arrays need lead to
    stand-ins that only read bytes, and every other name is an error, before anything is called. Text of Python 2 comes
    as bytes.
    """
    try:
        return _unwrap_arrays(_Unpickler(io.BytesIO(read_content(path)), encoding="bytes").load())
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(
            f"A data file must be a whole pickle of plain data and byte arrays, got {path} with: {error}. "
            f"Copy the original file again."
        ) from error


class _ByteType:
    """Stands for the type of an array's elements, which must be unsigned bytes."""

    def __init__(self, name: Any, *_: object) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else name
        if text not in BYTE_TYPES:
            raise pickle.UnpicklingError(f"an array of {text!r} in place of unsigned bytes")

    def __setstate__(self, state: object) -> None:
        """Byte order and flags, which a type of one byte has no use for."""


class _ByteArray:
    """Stands for an array until its bytes are known."""

    values: UInt8[np.ndarray, "..."] | None = None

    def __setstate__(self, state: Any) -> None:
        """Version, shape, type, whether in Fortran's order, and the bytes."""
        _, shape, kind, fortran, data = state
        self.fill(data, kind, shape, "F" if fortran else "C")

    def fill(self, data: Any, kind: object, shape: Any, order: Any) -> None:
        """Takes the values from the bytes."""
        if not isinstance(kind, _ByteType):
            raise pickle.UnpicklingError(f"an array of {kind!r} in place of unsigned bytes")
        self.values = np.frombuffer(data, dtype=np.uint8).reshape(shape, order=order)


class _AllowedFunction:
    """One of the functions that a pickle may call; it cannot be changed from inside the pickle."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("an attempt to change a function")


def _create_array(*_: object) -> _ByteArray:
    """Numpy's `_reconstruct`: the array's state follows."""
    return _ByteArray()


def _create_from_buffer(data: Any, kind: object, shape: Any, order: Any) -> _ByteArray:
    """Numpy's `_frombuffer`, which pickles of protocol 5 call."""
    array = _ByteArray()
    array.fill(data, kind, shape, order)
    return array


def _encode_latin1(text: Any, encoding: object) -> bytes:
    """`codecs.encode`, by which Python 3 writes bytes for Python 2: always in latin1."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r} in place of latin1")
    return text.encode("latin1")


def _refuse_call(*_: object) -> object:
    """Numpy's array type, which is passed on to `_reconstruct` and never called."""
    raise pickle.UnpicklingError("an array made without `_reconstruct`")


ALLOWED_GLOBALS = {
    ("numpy", "dtype"): _AllowedFunction(_ByteType),
    ("numpy", "ndarray"): _AllowedFunction(_refuse_call),
    ("numpy.core.multiarray", "_reconstruct"): _AllowedFunction(_create_array),
    ("numpy._core.multiarray", "_reconstruct"): _AllowedFunction(_create_array),
    ("numpy.core.numeric", "_frombuffer"): _AllowedFunction(_create_from_buffer),
    ("numpy._core.numeric", "_frombuffer"): _AllowedFunction(_create_from_buffer),
    ("_codecs", "encode"): _AllowedFunction(_encode_latin1),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """One of the stand-ins, or an error."""
        if (module, name) not in ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"the name {module}.{name}, which is refused")
        return ALLOWED_GLOBALS[module, name]


def _unwrap_arrays(value: Any, depth: int = 0) -> Any:
    """The value with its arrays in place of their stand-ins.

    Dicts are entered to a depth that no dataset needs: entries that share one dict, level for level, would otherwise
    take exponential time.
    """
    if depth > MAX_DEPTH:
        raise pickle.UnpicklingError(f"dicts within dicts, {depth} deep")
    if isinstance(value, _ByteArray):
        if value.values is None:
            raise pickle.UnpicklingError("an array without values")
        return value.values
    if isinstance(value, dict):
        return {key: _unwrap_arrays(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (_ByteType, _AllowedFunction)):
        raise pickle.UnpicklingError("a part of an array without the array")
    return value
