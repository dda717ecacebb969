"""Reads pickles of plain data and byte arrays without executing any code that they refer to."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from equistudy.datasets.contents import read_content

__all__ = ["read_pickle"]

MAX_DEPTH = 4  # of nested dicts
BYTE_TYPES = ("u1", "|u1", "uint8")


def read_pickle(path: Path) -> Any:
    """The contents of a pickle: dicts, lists, tuples, strings, bytes, numbers and NumPy arrays of unsigned bytes.

    A pickle is a program that may call any importable function. Here the few names that NumPy arrays need resolve to
    stand-ins that only read bytes, and every other name is an error before anything is called. Python 2 strings are
    returned as bytes.
    """
    try:
        return _unwrap_arrays(_Unpickler(io.BytesIO(read_content(path)), encoding="bytes").load())
    except Exception as error:  # a damaged pickle can raise any error
        raise ValueError(
            f"{path} must be a complete pickle of plain data and byte arrays, got {error}. "
            f"Copy the original file again."
        ) from error


class _ByteType:
    """Stand-in for the dtype of an array, which must be unsigned bytes."""

    def __init__(self, name: Any, *_: object) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else name
        if text not in BYTE_TYPES:
            raise pickle.UnpicklingError(f"an array of {text!r} instead of unsigned bytes")

    def __setstate__(self, state: object) -> None:
        """Ignores byte order and flags, which do not apply to single bytes."""


class _ByteArray:
    """Stand-in for an array until its bytes are known."""

    values: UInt8[np.ndarray, "..."] | None = None

    def __setstate__(self, state: Any) -> None:
        """Takes version, shape, dtype, whether the order is Fortran's, and the bytes."""
        _, shape, kind, fortran, data = state
        self.fill(data, kind, shape, "F" if fortran else "C")

    def fill(self, data: Any, kind: object, shape: Any, order: Any) -> None:
        """Takes the values from the bytes."""
        if not isinstance(kind, _ByteType):
            raise pickle.UnpicklingError(f"an array of {kind!r} instead of unsigned bytes")
        self.values = np.frombuffer(data, dtype=np.uint8).reshape(shape, order=order)


class _AllowedFunction:
    """A function that a pickle may call; the pickle cannot modify it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("an attempt to change a function")


def _create_array(*_: object) -> _ByteArray:
    """NumPy's `_reconstruct`; the state of the array follows."""
    return _ByteArray()


def _create_from_buffer(data: Any, kind: object, shape: Any, order: Any) -> _ByteArray:
    """NumPy's `_frombuffer`, called by pickles of protocol 5."""
    array = _ByteArray()
    array.fill(data, kind, shape, order)
    return array


def _encode_latin1(text: Any, encoding: object) -> bytes:
    """`codecs.encode`, with which Python 3 pickles bytes for Python 2: always latin1."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r} instead of latin1")
    return text.encode("latin1")


def _refuse_call(*_: object) -> object:
    """NumPy's array type, which is passed to `_reconstruct` but never called."""
    raise pickle.UnpicklingError("an array created without `_reconstruct`")


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
        """One of the stand-ins. Raises UnpicklingError for any other name."""
        if (module, name) not in ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"the name {module}.{name}, which is not allowed")
        return ALLOWED_GLOBALS[module, name]


def _unwrap_arrays(value: Any, depth: int = 0) -> Any:
    """The value with stand-ins replaced by their arrays.

    The depth is limited, because dicts that share entries level by level would otherwise take exponential time.
    """
    if depth > MAX_DEPTH:
        raise pickle.UnpicklingError(f"dicts nested {depth} deep")
    if isinstance(value, _ByteArray):
        if value.values is None:
            raise pickle.UnpicklingError("an array without values")
        return value.values
    if isinstance(value, dict):
        return {key: _unwrap_arrays(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (_ByteType, _AllowedFunction)):
        raise pickle.UnpicklingError("a part of an array without the array")
    return value
