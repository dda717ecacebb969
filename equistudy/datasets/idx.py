"""The IDX format of MNIST: a magic number, the sizes, then the values."""

import math
import struct
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from equistudy.datasets.contents import read_content

__all__ = ["read_idx"]

UNSIGNED_BYTES = 0x08


def read_idx(path: Path, num_axes: int) -> UInt8[np.ndarray, "..."]:
    """The array of unsigned bytes with `num_axes` axes in an IDX file, gzipped or not.

    The format is two zero bytes, the type, the number of axes, each size as a big-endian 32-bit integer, and the values
    in C order.
    """
    data = read_content(path)
    magic, header = struct.pack("4B", 0, 0, UNSIGNED_BYTES, num_axes), 4 + 4 * num_axes
    if data[:4] != magic:
        raise ValueError(
            f"An IDX file of unsigned bytes with {num_axes} axes must start with {magic.hex(' ')}, "
            f"got {data[:4].hex(' ') or 'nothing'} in {path}. Check that it is the original file."
        )
    if len(data) < header:
        raise ValueError(f"An IDX header must have {header} bytes, got {len(data)} in {path}. Copy it again.")
    shape = struct.unpack(f">{num_axes}I", data[4:header])
    if len(data) - header != math.prod(shape):
        raise ValueError(
            f"An IDX file of shape {shape} must hold {math.prod(shape)} values, got {len(data) - header} in {path}. "
            f"Copy it again."
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)
