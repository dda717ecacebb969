"""Hostile, damaged and honest pickles."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from equistudy.datasets.restricted_pickle import read_pickle


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_plain_data_and_byte_arrays(tmp_path, protocol, order):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, order=order)
    (tmp_path / "data").write_bytes(pickle.dumps({"a": array, "b": [1, None, (2.5, b"x")], "c": "text"}, protocol))
    result = read_pickle(tmp_path / "data")
    assert np.array_equal(result.pop("a"), array)
    assert result == {"b": [1, None, (2.5, b"x")], "c": "text"}


class Runs:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", [lambda bad: bad, lambda bad: {b"data": bad}, lambda bad: [(1, {2: bad})]])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, protocol, place):
    path, witness = tmp_path / "test_batch", tmp_path / "ran"
    path.write_bytes(pickle.dumps(place(Runs(f"touch {witness}")), protocol))
    with pytest.raises(ValueError, match=r"byte arrays, got the name posix\.system, which is not allowed"):
        read_pickle(path)
    assert not witness.exists()


OPCODES = {
    "a name by attribute": b"\x80\x04\x8c\x05numpy\x8c\x0bsave.__call__\x93.",
    "eval": b"cbuiltins\neval\n(V1+1\ntR.",
    "objects as elements": b"\x80\x02cnumpy\ndtype\n(X\x02\x00\x00\x00O8K\x00K\x01tR.",
    "changed function": b"\x80\x02cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.",
    "array made directly": b"\x80\x02cnumpy\nndarray\n(K\x02tR.",
    "array without values": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(tR.",
    "a type alone": b"\x80\x02cnumpy\ndtype\n(X\x02\x00\x00\x00u1tR.",
    "another codec": b"\x80\x02c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
    "an element type that is none": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(tR(K\x01K\x02NI00\nC\x01atb.",
    "nothing": b"",
    "no pickle": b"<html>",
}


@pytest.mark.parametrize("program", OPCODES.values(), ids=OPCODES.keys())
def test_other_programs_are_refused(tmp_path, program):
    (tmp_path / "test_batch").write_bytes(program)
    with pytest.raises(
        ValueError, match=r"test_batch must be a complete pickle of plain data and byte arrays, got .*Copy the original"
    ):
        read_pickle(tmp_path / "test_batch")


def test_dicts_that_share_dicts_do_not_take_for_ever(tmp_path: Path) -> None:
    """Thirty levels with two entries each: a billion places, and a file of a kilobyte."""
    value: dict = {}
    for _ in range(30):
        value = {"a": value, "b": value}
    (tmp_path / "bomb").write_bytes(pickle.dumps(value))
    with pytest.raises(ValueError, match=r"bomb must be .* got dicts nested 5 deep"):
        read_pickle(tmp_path / "bomb")
