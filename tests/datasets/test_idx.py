"""IDX files, whole and damaged."""

import gzip
import struct

import numpy as np
import pytest

from equistudy.datasets.idx import read_idx

GOOD = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + bytes(range(24))


@pytest.mark.parametrize("data", [GOOD, gzip.compress(GOOD)], ids=["plain", "gzipped"])
def test_reads(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    values = read_idx(tmp_path / "file", 3)
    assert values.dtype == np.uint8
    assert values.shape == (2, 3, 4)
    assert values[1, 2, 3] == 23
    assert values[0, 1, 0] == 4


DAMAGED = {
    "empty": (b"", r"3 axes must start with 00 00 08 03, got nothing in .*file\. Check that it is the original"),
    "a page": (b"<html>", r"got 3c 68 74 6d in .*file"),
    "other axes": (b"\0\0\x08\x01" + GOOD[4:], r"got 00 00 08 01"),
    "other type": (b"\0\0\x0d\x03" + GOOD[4:], r"got 00 00 0d 03"),
    "short header": (GOOD[:10], r"header must have 16 bytes, got 10 in .*file\. Copy it again"),
    "truncated": (GOOD[:-1], r"shape \(2, 3, 4\) must hold 24 values, got 23 in .*file\. Copy it again"),
    "too long": (GOOD + b"x", r"got 25"),
    "truncated gzip": (
        gzip.compress(GOOD)[:-9],
        r"Cannot decompress .*file, which is damaged or truncated: .*Copy it again",
    ),
    "broken gzip": (gzip.compress(GOOD)[:12] + b"\xff" * 30, r"Cannot decompress"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_files_are_named(tmp_path, data, message):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "file", 3)
