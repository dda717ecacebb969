"""MATLAB files against scipy's reader, and damaged ones, which crash that."""

import io
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from equistudy.datasets.matlab_file import parse_matlab

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "olivetti" / "olivettifaces.mat"
KINDS = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "i8", "u8")


def write(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    compressed = bool(arrays.pop("compressed", False))
    savemat(buffer, arrays, do_compression=compressed)
    return buffer.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 3), (2, 3, 4), (0, 3)])
def test_numbers_are_those_that_scipy_reads(shape: tuple[int, ...], compressed: bool) -> None:
    rng = np.random.default_rng(len(shape))
    arrays = {f"{kind}_array": (100 * rng.random(shape)).astype(kind) for kind in KINDS}
    others = {"text": "abc", "cells": np.array([1, "a"], dtype=object), "table": {"x": 1.0}, "z": np.array([[1 + 2j]])}
    content = write(compressed=compressed, **arrays, **others)
    found, expected = parse_matlab(content), loadmat(io.BytesIO(content))
    for name in arrays:
        assert found[name].dtype == expected[name].dtype
        assert np.array_equal(found[name], expected[name])
    assert "text" not in found
    assert "cells" not in found


def test_the_faces_of_olivetti() -> None:
    if not REAL.is_file():
        pytest.skip("the faces of Olivetti are not beside the checkout")
    assert np.array_equal(parse_matlab(REAL.read_bytes())["faces"], loadmat(REAL)["faces"])


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_bytes_are_refused_and_crash_nothing(compressed: bool) -> None:
    content = write(compressed=compressed, a=np.arange(12, dtype=np.uint16).reshape(3, 4), b=np.ones((2, 2)))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(content)
        for place in rng.integers(100, len(content), rng.integers(1, 6)):
            damaged[place] = int(rng.integers(256))
        try:
            found = parse_matlab(bytes(damaged[: rng.integers(len(content) // 2, len(content) + 1)]))
        except ValueError:
            refused += 1
        else:
            assert all(array.nbytes < 1000 for array in found.values())
    assert refused > 1000


def test_an_element_that_unpacks_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(compressed=True, a=np.zeros((1000, 1000)))
    assert parse_matlab(content)["a"].shape == (1000, 1000)
    monkeypatch.setenv("EQUISTUDY_MAX_UNPACKED_GB", "0.001")
    with pytest.raises(ValueError, match=r"ends early or unpacks to more than 0\.001 GB"):
        parse_matlab(content)
    with pytest.raises(ValueError, match=r"it has no MATLAB 5 header"):
        parse_matlab(b"MATLAB" * 100)
