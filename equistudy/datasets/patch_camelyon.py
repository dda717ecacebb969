"""PatchCamelyon: microscope images of lymph node sections, in the published HDF5 files."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int64, UInt8

from equistudy.datasets.arrays import DecodedArrays, stratified_order
from equistudy.datasets.dataset import Examples, Split
from equistudy.datasets.folder import FileLayout, FolderDataset, check_labels
from equistudy.datasets.shared import get_shared_folder, remove_unused, write_shared
from equistudy.spec import added_field

__all__ = ["PatchCamelyon"]

MAX_UNPACKED_BYTES = 10**10  # the largest file unpacks to 7.2 GB
PIECE_BYTES = 2**24
CHUNK_SIZE = 1024  # patches in memory at a time at their original size: 28 MB

_cached_digests: dict[tuple[tuple[str, int, int], ...], str] = {}


def _file_names(split: str) -> tuple[str, str]:
    return f"camelyonpatch_level_2_split_{split}_x.h5", f"camelyonpatch_level_2_split_{split}_y.h5"


@dataclass(frozen=True)
class PatchCamelyon(FolderDataset):
    """262,144 training and 32,768 test colour patches of 96 x 96 pixels; class 1 has tumour tissue in the centre.

    Their orientation carries no information. Reads the .h5 files of the training and test splits with h5py (extra
    `hdf5`); of a subset, only its patches. Gzipped files are unpacked once, to a temporary folder. With `validation`,
    the 32,768 patches of the validation split replace the test split, for choices that must not use test data. `mean`
    and `std` are those of Edixhoven et al. 2023, arXiv:2308.11316, for values in [0, 1].

    Source: Veeling et al. 2018, arXiv:1806.03962.
    """

    validation: bool = added_field(False)

    num_classes: ClassVar[int] = 2
    mean: ClassVar[tuple[float, ...]] = (0.69745, 0.5348, 0.6880)
    std: ClassVar[tuple[float, ...]] = (0.23605, 0.27855, 0.21455)
    original_shape: ClassVar[tuple[int, int, int]] = (3, 96, 96)
    usual_folder: ClassVar[str] = "pcam"
    fetch_name: ClassVar[str | None] = "pcam"
    layouts: ClassVar[tuple[FileLayout, ...]] = (
        FileLayout("the .h5.gz files of PatchCamelyon", "pcam", _file_names("train"), _file_names("test")),
    )

    def list_layouts(self) -> tuple[FileLayout, ...]:
        """The files of the training split, and of the split that is used for testing."""
        layout = self.layouts[0]
        return (layout._replace(test=_file_names("valid")) if self.validation else layout,)

    @property
    def num_train(self) -> int:
        """The number of training examples in the official set."""
        return 262_144

    def read(self, split: Split) -> DecodedArrays:
        """The whole split at its original size: 7 GB for training."""
        labels = self._read_labels(split)
        return DecodedArrays(np.concatenate(list(self._read_patches(split, range(len(labels))))), labels)

    def fingerprint(self) -> str:
        """SHA-256 over the decoded patches and labels, read in chunks: the same for every compression.

        Cached in the process until the path, size or modification time of a file changes.
        """
        stats = ((str(path.absolute()), path.stat()) for path in self.files())
        key = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
        if key not in _cached_digests:
            hashed = hashlib.sha256()
            for split in (Split.TEST, Split.TRAIN):
                labels = self._read_labels(split)
                hashed.update(f"{split.value}/{len(labels)}/".encode())
                for patches in self._read_patches(split, range(len(labels))):
                    hashed.update(patches.data)
                hashed.update(labels.astype("<i8").data)
            _cached_digests[key] = hashed.hexdigest()
        return _cached_digests[key]

    def load(self, split: Split) -> Examples:
        """All examples of a split on the CPU, in the order of the files, or of `stratified_order` for a subset."""
        import torch

        labels = self._read_labels(split)
        size = self.train_size if split is Split.TRAIN else self.test_size
        chosen: Sequence[int] = range(len(labels))
        if size is not None:
            self._check_size(split, size, len(labels))
            chosen = stratified_order(labels.tolist())[:size]
        order = np.argsort(chosen)  # files are read from front to back
        pieces = self._read_patches(split, np.asarray(chosen)[order].tolist())
        fitted = np.concatenate([self.resize_images(patches) for patches in pieces])
        return Examples(torch.from_numpy(fitted[np.argsort(order)]), torch.from_numpy(labels[chosen]))

    def _read_labels(self, split: Split) -> Int64[np.ndarray, " N"]:
        path = self.find_layout().split_paths(split)[1]
        with _open_table(path, "y") as table:
            labels = np.asarray(table).reshape(len(table), -1).astype(np.int64)
        if labels.shape[1:] != (1,):
            raise ValueError(f"Each patch needs one label, got {labels.shape[1]} in {path}. Copy the original file.")
        check_labels(labels[:, 0], self.num_classes, path)
        return labels[:, 0]

    def _read_patches(self, split: Split, chosen: Sequence[int]) -> Iterator[UInt8[np.ndarray, "N C H W"]]:
        """The patches at these increasing indices, in chunks."""
        path, labels_path = self.find_layout().split_paths(split)
        channels, height, width = self.original_shape
        with _open_table(labels_path, "y") as labels:  # opened separately, so that an error names the right file
            num_labels = len(labels)
        with _open_table(path, "x") as table:
            if table.shape[1:] != (height, width, channels) or table.dtype != np.uint8:
                raise ValueError(
                    f"PatchCamelyon needs 8-bit patches of {height} x {width} x {channels}, got {table.dtype} of "
                    f"{' x '.join(map(str, table.shape[1:]))} in {path}. Check that the file belongs to this dataset."
                )
            if len(table) != num_labels:
                raise ValueError(
                    f"Each patch needs one label, got {len(table)} patches in {path} and {num_labels} labels in "
                    f"{labels_path}. Copy both again."
                )
            for start in range(0, len(chosen), CHUNK_SIZE):
                piece = chosen[start : start + CHUNK_SIZE]
                rows = slice(piece.start, piece.stop) if isinstance(piece, range) else piece
                yield np.ascontiguousarray(np.moveaxis(table[rows], -1, 1))


@contextmanager
def _open_table(path: Path, name: str) -> Iterator[Any]:
    """The one table of an HDF5 file."""
    try:
        import h5py
    except ImportError:
        raise ValueError(
            'PatchCamelyon needs h5py, which is not installed. Run: pip install "equistudy[hdf5]"'
        ) from None
    try:
        file = h5py.File(_unpack(path) if path.suffix == ".gz" else path, "r")
    except ValueError:  # raised by unpacking
        raise
    except Exception as error:  # h5py raises many types of error for damaged files
        raise _create_damage_error(path, error) from error
    with file:
        try:
            table = file.get(name)
            if not isinstance(table, h5py.Dataset) or not table.shape:
                raise ValueError(
                    f"A file of PatchCamelyon must hold the table {name}, got {', '.join(file) or 'none'} in {path}. "
                    "Check that the file belongs to this dataset."
                )
            yield table
        except ValueError:  # raised by the reader itself
            raise
        except Exception as error:  # such as a damaged chunk in an otherwise readable file
            raise _create_damage_error(path, error) from error


def _unpack(path: Path) -> Path:
    """The unpacked form of a gzipped file, written again only after the file has changed."""
    stat, folder = path.stat(), get_shared_folder()
    text = f"{path.absolute()}/{stat.st_size}/{stat.st_mtime_ns}"
    unpacked = folder / f"{hashlib.sha256(text.encode()).hexdigest()}.h5"
    if unpacked.is_file():
        unpacked.touch()
        return unpacked
    remove_unused()
    with write_shared(unpacked) as file:
        try:
            with gzip.open(path, "rb") as packed:
                while piece := packed.read(PIECE_BYTES):
                    file.write(piece)
                    if file.tell() > MAX_UNPACKED_BYTES:
                        raise OSError(f"more than {MAX_UNPACKED_BYTES / 1e9:g} GB")
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(
                f"Cannot unpack {path}: {error}. Copy it again, or unpack it yourself: gunzip --keep {path.name}."
            ) from error
    return unpacked


def _create_damage_error(path: Path, error: Exception) -> ValueError:
    return ValueError(f"Cannot read HDF5 file {path}, which is damaged or truncated: {error}. Copy it again.")
