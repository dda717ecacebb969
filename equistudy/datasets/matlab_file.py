"""Numeric arrays of a MATLAB 5 file, read with bounds checks: damaged files raise errors and never crash the process.

Source: MathWorks, MAT-File Format, version 5.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from equistudy.datasets.contents import compute_max_bytes

__all__ = ["parse_matlab"]

HEADER_BYTES = 128
ENDIANNESS = {b"IM": "<", b"MI": ">"}  # the last two bytes of the header
MATRIX, COMPRESSED = 14, 15  # types of elements
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}


class _Element(NamedTuple):
    kind: int
    data: bytes


def parse_matlab(content: bytes) -> dict[str, np.ndarray]:
    """The real numeric arrays of a file by name. Raises ValueError if its bytes are not valid."""
    if len(content) < HEADER_BYTES or content[126:128] not in ENDIANNESS:
        raise ValueError("it has no MATLAB 5 header")
    order = ENDIANNESS[content[126:128]]
    found: dict[str, np.ndarray] = {}
    for kind, data in _iterate_elements(content[HEADER_BYTES:], order):
        matrices = [_Element(kind, data)]
        if kind == COMPRESSED:
            matrices = list(_iterate_elements(_decompress(data), order))
        found.update(_parse_matrix(each.data, order) for each in matrices if each.kind == MATRIX)
    found.pop("", None)  # arrays that are not numeric
    return found


def _iterate_elements(data: bytes, order: str) -> Iterator[_Element]:
    """Iterates over the elements: type and length, then the data, padded to a multiple of eight bytes."""
    place = 0
    while place < len(data):
        if len(data) - place < 8:
            raise ValueError(f"an element of {len(data) - place} bytes")
        kind, length = struct.unpack_from(f"{order}II", data, place)
        start, step = place + 8, 8 + length + (-length % 8 if kind != COMPRESSED else 0)
        if kind >> 16:  # a small element: length and type in four bytes, the data in the next four
            kind, length, start, step = kind & 0xFFFF, kind >> 16, place + 4, 8
            if length > 4:
                raise ValueError(f"a small element of {length} bytes")
        if start + length > len(data):
            raise ValueError(f"an element of {length} bytes where only {len(data) - start} remain")
        yield _Element(kind, data[start : start + length])
        place += step


def _decompress(data: bytes) -> bytes:
    limit = compute_max_bytes()
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(data, limit)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not stream.eof:
        raise ValueError(f"a compressed element that ends early or unpacks to more than {limit / 1e9:g} GB")
    return unpacked


def _parse_matrix(data: bytes, order: str) -> tuple[str, np.ndarray]:
    """Name and values of an array (flags, sizes, name, real part); the name is empty if it is not numeric."""
    parts = list(_iterate_elements(data, order))
    if len(parts) < 3 or len(parts[0].data) < 4 or len(parts[1].data) % 4:
        raise ValueError("an incomplete array")
    flags, sizes, name, *values_parts = parts
    kind = struct.unpack(f"{order}I", flags.data[:4])[0] & 0xFF
    shape = tuple(np.frombuffer(sizes.data, f"{order}i4").tolist())
    if kind not in CLASSES or not values_parts:
        return "", np.zeros(0)
    real = values_parts[0]
    if real.kind not in STORED or min(shape, default=0) < 0 or len(shape) < 2:
        raise ValueError(f"an array of type {real.kind} and sizes {shape}")
    stored = np.dtype(f"{order}{STORED[real.kind]}")
    if len(real.data) != math.prod(shape) * stored.itemsize:
        raise ValueError(f"{len(real.data)} bytes for an array of {' x '.join(map(str, shape))}")
    values = np.frombuffer(real.data, stored).astype(CLASSES[kind])
    return name.data.decode("latin-1"), values.reshape(shape, order="F")
