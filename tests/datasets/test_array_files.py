"""Arrays by name, and what is said about those that are no such numbers."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from equistudy.datasets.array_files import read_mat, read_npz, require_numbers


def test_arrays_come_back_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"a": rng.normal(size=(3, 4)), "b": rng.integers(0, 9, (5, 1))}
    np.savez_compressed(tmp_path / "x.npz", **arrays, other=np.zeros(2))
    savemat(tmp_path / "x.mat", arrays)
    for found in (read_npz(tmp_path / "x.npz", ("a", "b"), "QM9"), read_mat(tmp_path / "x.mat", ("a", "b"), "QM9")):
        assert list(found) == ["a", "b"]
        assert all(np.array_equal(found[name], value) for name, value in arrays.items())


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}, None], dtype=object))
    with pytest.raises(
        ValueError, match=r"QM7 needs an npz file, got .*x\.npz, which cannot be read: Object arrays cannot be loaded"
    ):
        read_npz(tmp_path / "x.npz", ("a",), "QM7")


def test_an_array_that_claims_to_be_huge(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", header.getvalue())
    with pytest.raises(ValueError, match=r"QM7 needs an npz file, got .*x\.npz, which cannot be read: .*Copy it again"):
        read_npz(tmp_path / "x.npz", ("a",), "QM7")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3)), r"The array a must hold 2 x any x 4 numbers, got 2 x 3 of type float64 in x\.npz"),
        (np.array(1.0), r"got a single value of type float64"),
        (np.zeros((2, 3, 4), dtype="<U2"), r"got 2 x 3 x 4 of type <U2"),
        (np.full((2, 3, 4), np.inf), r"The array a must be finite, got infinity or NaN in x\.npz\. Copy"),
        (np.full((2, 3, 4), 0.5), r"The array a must hold whole numbers, got fractions in x\.npz\. Copy"),
    ],
)
def test_numbers_of_another_shape_or_kind(array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_numbers(array, (2, None, 4), "a", Path("x.npz"), whole=True)
    good = require_numbers(np.full((2, 3, 4), 7.0), (2, None, 4), "a", Path("x.npz"), whole=True)
    assert good.dtype == np.int64
