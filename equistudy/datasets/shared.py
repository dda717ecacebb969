"""Decoded splits that the processes of a node have in common: decoded once, mapped into the memory of each.

A split is written to a file beside the system's other temporary ones, and every process maps it; the pages of a mapped
file are in memory once. Files that nobody has used for a day are removed.
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

MIN_SHARED_BYTES = 2**24  # less is decoded in each process
UNUSED_SECONDS = 86_400.0


def load_shared(dataset: Dataset, split: Split) -> Examples:
    """The split on the CPU, as `load` gives it, in memory that all processes of the user on this node share.

    Small splits, and all where nothing can be written, are this process's own.
    """
    try:
        stem = create_stem(dataset, split)
    except OSError:  # the folder is not ours
        return dataset.load(split)
    with suppress(OSError, ValueError):  # not there yet, or cut off: written anew
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
    except OSError:  # a full disk: a copy of its own does as well
        return examples


def create_stem(dataset: Dataset, split: Split) -> Path:
    """Where the files of a split lie, without the ends of their names."""
    text = f"{to_canonical_json(dataset)}/{dataset.fingerprint()}/{split.value}"
    return get_shared_folder() / hashlib.sha256(text.encode()).hexdigest()


def get_shared_folder() -> Path:
    """The user's own folder beside the system's other temporary files, which may have yet to be made.

    Anybody can make that name first, and a link there would lead to files elsewhere: raises OSError unless it is a
    directory of this user's own, which nobody else can write to.
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
    """Copy on write: what a process changes by mistake stays its own."""
    import torch

    places = _file_paths(stem)
    if any(place.lstat().st_uid != os.getuid() for place in places):
        raise OSError(f"{stem} is another user's")
    for place in places:
        place.touch()
    inputs, targets = (torch.from_numpy(np.load(place, mmap_mode="c")) for place in places)
    return Examples(inputs, targets)


@contextmanager
def write_shared(place: Path) -> Iterator[IO[bytes]]:
    """A file of the shared folder that gets its name when the block has ended: all or nothing.

    Several processes may write the same file at once. Raises OSError for a folder that is not the user's own.
    """
    place.parent.mkdir(mode=0o700, exist_ok=True)
    get_shared_folder()  # checks what is there now
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
        try:
            yield file
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(place)


def remove_unused() -> None:
    """Removes the files that nobody has used for a day."""
    oldest = time.time() - UNUSED_SECONDS
    for place in get_shared_folder().glob("*"):
        with suppress(OSError):  # another process was faster
            if place.lstat().st_mtime < oldest:
                place.unlink()
