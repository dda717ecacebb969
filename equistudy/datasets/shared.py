"""Decoded splits shared by the processes of a node: decoded once, and memory-mapped by each process.

A split is written to a file in the system's temporary folder. Every process maps this file, whose pages are in memory
only once. Files that have not been used for a day are removed.
"""

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np

from equistudy.datasets.dataset import Dataset, Examples, Split
from equistudy.spec import to_canonical_json

__all__ = ["create_stem", "get_shared_folder", "load_shared", "remove_unused", "write_shared"]

MIN_SHARED_BYTES = 2**24  # smaller splits are decoded by each process
UNUSED_SECONDS = 86_400.0


def load_shared(dataset: Dataset, split: Split) -> Examples:
    """The split on the CPU, as returned by `load`, in memory shared by all processes of the user on this node.

    Small splits are loaded by each process, and so are all splits if the file cannot be written.
    """
    try:
        stem = create_stem(dataset, split)
    except OSError:  # the folder belongs to somebody else
        return dataset.load(split)
    with suppress(OSError, ValueError):  # absent or truncated: written again below
        return _map_files(stem)
    examples = dataset.load(split)
    if sum(tensor.numel() * tensor.element_size() for tensor in examples) < MIN_SHARED_BYTES:
        return examples
    try:
        remove_unused()
        for place, tensor in zip(_file_paths(stem), examples, strict=True):
            with write_shared(place) as file:
                np.save(file, tensor.numpy())
        return _map_files(stem)
    except OSError:  # such as a full disk: use a private copy
        return examples


def create_stem(dataset: Dataset, split: Split) -> Path:
    """The path of a split's files without their suffixes."""
    text = f"{to_canonical_json(dataset)}/{dataset.fingerprint()}/{split.value}"
    return get_shared_folder() / hashlib.sha256(text.encode()).hexdigest()


def get_shared_folder() -> Path:
    """This user's folder in the system's temporary folder, which may not exist yet.

    Anybody can create that name first, even as a link to another place. Raises OSError unless it is a directory owned
    by this user that nobody else can write to.
    """
    folder = Path(tempfile.gettempdir()) / f"equistudy-{os.getuid()}"
    with suppress(FileNotFoundError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise OSError(
                f"{folder} must be a directory that only you can write to, got {stat.filemode(found.st_mode)} of user "
                f"{found.st_uid}. Remove it, or set TMPDIR to another folder."
            )
    return folder


def _file_paths(stem: Path) -> tuple[Path, Path]:
    return stem.with_suffix(".inputs.npy"), stem.with_suffix(".targets.npy")


def _map_files(stem: Path) -> Examples:
    """Maps the files copy-on-write, so that an accidental change stays within the process."""
    import torch

    places = _file_paths(stem)
    if any(place.lstat().st_uid != os.getuid() for place in places):
        raise OSError(f"{stem} belongs to another user")
    for place in places:
        place.touch()
    inputs, targets = (torch.from_numpy(np.load(place, mmap_mode="c")) for place in places)
    return Examples(inputs, targets)


@contextmanager
def write_shared(place: Path) -> Iterator[IO[bytes]]:
    """Writes a file of the shared folder atomically: it gets its name when the block ends.

    Several processes may write the same file at once. Raises OSError if the folder belongs to another user.
    """
    place.parent.mkdir(mode=0o700, exist_ok=True)
    get_shared_folder()  # checks the owner again
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        try:
            yield file
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(place)


def remove_unused() -> None:
    """Removes files that have not been used for a day."""
    oldest = time.time() - UNUSED_SECONDS
    for place in get_shared_folder().glob("*"):
        with suppress(OSError):  # another process removed it first
            if place.lstat().st_mtime < oldest:
                place.unlink()
