"""Named arrays from NumPy archives and MATLAB files; every error names the file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equistudy.datasets.contents import check_archive, read_content
from equistudy.datasets.matlab_file import parse_matlab

__all__ = ["read_mat", "read_npz", "require_numbers"]


def read_npz(path: Path, names: Sequence[str], reader: str) -> dict[str, np.ndarray]:
    """The named arrays of an .npz file without Python objects; `reader` is the dataset that error messages name."""
    check_archive(path)
    try:
        if not zipfile.is_zipfile(path):  # numpy would try to unpickle it
            raise ValueError("not a complete zip archive")
        with np.load(path, allow_pickle=False) as archive:
            found = {name: np.asarray(archive[name]) for name in names if name in archive}
    except Exception as error:  # numpy raises many types of error for damaged files
        raise _create_error(reader, "an npz file", path, error) from error
    return _require_all(found, path, names)


def read_mat(path: Path, names: Sequence[str], reader: str) -> dict[str, np.ndarray]:
    """The named arrays of a MATLAB 5 file, gzipped or not."""
    content = read_content(path)
    try:
        read = parse_matlab(content)
        found = {name: read[name] for name in names if name in read}
    except ValueError as error:
        raise _create_error(reader, "a MATLAB 5 file", path, error) from error
    return _require_all(found, path, names)


def require_numbers(
    array: np.ndarray, shape: tuple[int | None, ...], name: str, path: Path, whole: bool = False
) -> Any:
    """The array, if it holds finite numbers in this shape (None is any length); with `whole`, as int64."""
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in "iuf":
        axes = " x ".join("any" if length is None else str(length) for length in shape)
        got = " x ".join(map(str, array.shape)) or "a single value"
        raise ValueError(
            f"The array {name} must hold {axes} numbers, got {got} of type {array.dtype} in {path}. Check that the "
            "file belongs to this dataset."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"The array {name} must be finite, got infinity or NaN in {path}. Copy it again.")
    if whole and array.dtype.kind == "f" and (array != np.round(array)).any():
        raise ValueError(f"The array {name} must hold whole numbers, got fractions in {path}. Copy it again.")
    return array.astype(np.int64) if whole else array


def _require_all(found: dict[str, np.ndarray], path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    absent = [name for name in names if name not in found]
    if absent:
        raise ValueError(
            f"{path.name} must hold {', '.join(names)}, got {path} without {', '.join(absent)}. Copy it again."
        )
    return found


def _create_error(reader: str, kind: str, path: Path, error: Exception) -> ValueError:
    first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return ValueError(f"{reader} needs {kind}, got {path}, which cannot be read: {first}. Copy it again.")
