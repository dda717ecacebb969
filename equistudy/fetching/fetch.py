"""Fetches a dataset: downloads missing files, verifies them, and unpacks archives."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from equistudy.fetching.download import FetchError, Progress, check_checksum, download_file, list_urls
from equistudy.fetching.registry import FetchableDataset, RemoteFile
from equistudy.fetching.unpack import UNPACKING_PREFIX, unpack

__all__ = ["DatasetRequest", "fetch_dataset", "format_size"]

LOCK_NAME = ".fetch.lock"
Tell = Callable[[str], None]


class DatasetRequest(NamedTuple):
    """A dataset, its target folder, and the names of the files to fetch; None for all."""

    dataset: FetchableDataset
    folder: Path
    names: frozenset[str] | None = None

    def list_missing(self) -> tuple[RemoteFile, ...]:
        """The files that are missing in every layout that a reader accepts."""
        try:
            self.dataset.find(str(self.folder))
        except ValueError:
            return tuple(file for file in self.dataset.select_files(self.names) if not _is_there(file, self.folder))
        return ()


def _is_there(file: RemoteFile, folder: Path) -> bool:
    if file.unpacking is not None:
        return (folder / file.unpacking.folder).is_dir()
    return (folder / file.name).is_file() or (folder / file.name.removesuffix(".gz")).is_file()


def fetch_dataset(request: DatasetRequest, tell: Tell, progress: Progress) -> None:
    """Downloads the missing files of a dataset; only one process at a time works on a folder.

    Existing files with published names are verified too, but never replaced.

    Raises:
        FetchError: a file cannot be downloaded or has a wrong checksum, or the folder cannot be written.
        ValueError: EQUISTUDY_MIRROR is not an http or https address.

    Example (needs a network):
        request = DatasetRequest(DATASETS["mnist"], Path("data/mnist"))
        fetch_dataset(request, print, lambda name, there, size: None)
        # train-images-idx3-ubyte.gz: 9.9 MB from https://ossci-datasets.s3.amazonaws.com
    """
    dataset, folder, _ = request
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _hold_lock(folder, tell):
            for left in folder.glob(f"{UNPACKING_PREFIX}*"):  # left by a process that was killed
                shutil.rmtree(left)
            _check_present_files(request)
            for file in request.list_missing():
                _fetch_file(dataset, file, folder, tell, progress)
            if dataset.select_files(request.names) == dataset.files:
                dataset.find(str(folder))
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(
            f"Cannot write to {folder}: {error.strerror or error}. Change its permissions, or choose another folder "
            "with --into."
        ) from error


@contextmanager
def _hold_lock(folder: Path, tell: Tell) -> Iterator[None]:
    """Lets one process in at a time. A killed process releases the lock."""
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(f"Waiting for another process that is fetching to {folder}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_present_files(request: DatasetRequest) -> None:
    """Raises FetchError if an existing file does not have its published checksum."""
    for file in request.dataset.select_files(request.names):
        path = request.folder / file.name
        wrong = check_checksum(path, file.checksum) if path.is_file() else None
        if wrong is not None:
            raise FetchError(f"{path} must have its published checksum, but {wrong}. Move it away, then fetch again.")


def _fetch_file(dataset: FetchableDataset, file: RemoteFile, folder: Path, tell: Tell, progress: Progress) -> None:
    urls, target = list_urls(dataset.name, file), folder / file.name
    own = not target.is_file()
    if own:
        tell(f"{file.name}: {format_size(file.size)} from {urls[0]}")
        download_file(file, urls, target, progress)
    if file.unpacking is not None:
        tell(f"{file.name}: unpacking to {folder / file.unpacking.folder}")
        unpack(target, file.unpacking)
        if own:
            target.unlink()


def format_size(size: int | None) -> str:
    """A number of bytes with a readable unit."""
    if size is None:
        return "unknown size"
    for unit, bytes_per_unit in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_per_unit:
            return f"{size / bytes_per_unit:.1f} {unit}"
    return f"{size} bytes"
