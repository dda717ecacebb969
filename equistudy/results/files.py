"""The files of a results folder: on a local disk or in an object store, written whole or not at all."""

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from equistudy.results.urls import build_polars_options, check_url

__all__ = ["Files", "LocalFiles", "LostResultsError", "RemoteFiles", "StorageError", "open_files"]

# An object of these becomes visible when its writer closes it, and not before.
OBJECT_STORES = {"s3", "gcs", "abfs"}

REMEDIES = {
    errno.ENOSPC: "Free some space and run the same command again: what is finished is kept.",
    errno.EDQUOT: "Free some of your quota and run the same command again: what is finished is kept.",
    errno.EACCES: "Choose a folder that you can write to with --results.",
    errno.EPERM: "Choose a folder that you can write to with --results.",
    errno.EROFS: "Choose a folder that you can write to with --results.",
    errno.ENOTDIR: "A file is in the way: choose another folder with --results.",
    errno.EEXIST: "A file is in the way: choose another folder with --results.",
}


# Waiting does not help: what the system or an object store answers where somebody must change something first.
PERMANENT_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
PERMANENT_ERROR_PATTERN = re.compile(
    "ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY|INVALID_CLIENT|SIGNATURE|UNRECOGNIZED_CLIENT"
)


class StorageError(OSError):
    """Results cannot be written or read: says what, where, why, and the way out. Not `lasting`: it may pass."""

    lasting = False


class LostResultsError(StorageError):
    """The results themselves are gone, or their marker: whoever notices it first stops."""

    lasting = True


@contextlib.contextmanager
def _explain_errors(doing: str, where: object) -> Iterator[None]:
    """Turns an OSError into a StorageError that a user can act on."""
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        why = (error.strerror or str(error) or type(error).__name__).rstrip(".")
        way_out = REMEDIES.get(error.errno or 0, "Check the storage, then run the same command again.")
        told = StorageError(f"Cannot {doing} {where}: {why}. {way_out}")
        told.lasting = error.errno in PERMANENT_ERRORS or PERMANENT_ERROR_PATTERN.search(str(error)) is not None
        raise told from error


# A temporary name is random: a name of host, process and counter occurs twice where containers share a folder. The
# second form is that of earlier versions.
TEMPORARY_NAME = re.compile(r"\..+\.(?:[0-9a-f]{32}|[^.]+(?:\.[^.]+)*\.\d+\.\d+)\.tmp")


@dataclass(frozen=True)
class LocalFiles:
    """A folder of this machine or of a shared file system. Names are relative to it, with forward slashes.

    A file is written under a hidden temporary name in its own folder, flushed to the disk and renamed. Every verb
    raises StorageError for what the system refuses, with the way out.
    """

    threads: ClassVar[int] = 2  # how many files to read at once: more of them wait for Python's lock

    root: Path

    @property
    def url(self) -> str:
        """The folder's path."""
        return str(self.root)

    def read(self, name: str) -> bytes | None:
        """All bytes of a file, or None where there is none."""
        with _explain_errors("read", self.root / name):
            try:
                # without O_NONBLOCK a named pipe would wait for a writer for ever
                descriptor = os.open(self.root / name, os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                return None
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(errno.EEXIST, "it is not a regular file")
                return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Writes a file at once: no reader sees a part of it, and an error leaves nothing behind."""
        path = self.root / name
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(16)}.tmp")
        with _explain_errors("write", path):
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                _flush_folder(path.parent.parent)
            try:
                _write_flushed(temporary, data)
                temporary.replace(path)
            except FileExistsError:
                raise  # somebody else's
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _flush_folder(path.parent)

    def delete(self, name: str) -> None:
        """Deletes a file, if it is there."""
        with _explain_errors("delete", self.root / name):
            (self.root / name).unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        with _explain_errors("find", self.root / name):
            return (self.root / name).is_file()

    def modified_at(self, name: str) -> float:
        """When the file was written, in seconds since 1970 by the clock of the storage."""
        with _explain_errors("find", self.root / name):
            return (self.root / name).stat().st_mtime

    def open_file(self, name: str) -> Any:
        """The file as a `pyarrow.NativeFile`. Raises FileNotFoundError."""
        return pa.OSFile(f"{self.root}/{name}")

    def list_names(self, folder: str) -> list[str]:
        """The names in a folder, sorted, without hidden ones; none where there is no such folder."""
        with _explain_errors("list", self.root / folder):
            try:
                # os.listdir makes no Path of each of many thousands of names
                names = os.listdir(self.root / folder)  # noqa: PTH208
            except FileNotFoundError:
                return []
        return sorted(name for name in names if not name.startswith("."))

    def list_regular(self, folder: str) -> tuple[list[str], list[str]]:
        """As `list_names`, first regular files, then all else but folders: links, which may dangle, and named pipes."""
        with _explain_errors("list", self.root / folder):
            try:
                with os.scandir(self.root / folder) as found:
                    entries = [entry for entry in found if not entry.name.startswith(".")]
            except FileNotFoundError:
                return [], []
            regular = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
            others = {entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)} - regular
        return sorted(regular), sorted(others)

    def sweep_abandoned(self, folder: str, age: float) -> int:
        """Deletes what killed writers left in a folder more than `age` seconds ago, and says how many files."""
        swept = 0
        with _explain_errors("sweep", self.root / folder):
            for path in (self.root / folder).glob(".*.tmp"):
                if not TEMPORARY_NAME.fullmatch(path.name):
                    continue
                with contextlib.suppress(FileNotFoundError):  # its writer is alive and has just renamed it
                    if path.stat().st_mtime < time.time() - age:
                        path.unlink()
                        swept += 1
        return swept

    def address(self, name: str) -> str:
        """Where Polars finds the file."""
        return str(self.root / name)

    @property
    def options(self) -> None:
        """Nothing: Polars reads local files as they are."""
        return


def _write_flushed(path: Path, data: bytes) -> None:
    """Writes the bytes so that they survive a crash of the machine."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Makes the new name survive a crash of the machine, on file systems that can flush a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class RemoteFiles:
    """A folder of an object store, as a URL such as `s3://bucket/results`, with the verbs of `LocalFiles`.

    A file is one object, which appears once all of it is stored: a large one is sent in several parts.
    """

    threads: ClassVar[int] = 32  # how many objects to ask for at once: each answer takes tens of milliseconds

    url: str

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url}  # a connection does not travel to workers

    @cached_property
    def _filesystem_and_path(self) -> tuple[Any, str]:
        with _explain_errors("open", self.url):
            try:
                system, path = fs.FileSystem.from_uri(self.url)
            except ValueError as error:  # pyarrow's ArrowInvalid
                raise ValueError(
                    f"Results must be in a local folder or at a URL such as s3://bucket/results, got {self.url}: "
                    f"{str(error).rstrip('.')}. Check --results."
                ) from error
        if system.type_name not in OBJECT_STORES:
            raise ValueError(
                f"Results need a local folder or an object store ({', '.join(sorted(OBJECT_STORES))}) with atomic "
                f"writes, got {self.url}. Choose another place with --results."
            )
        return system, path.rstrip("/")

    def _full_path(self, name: str) -> str:
        return f"{self._filesystem_and_path[1]}/{name}" if name else self._filesystem_and_path[1]

    def read(self, name: str) -> bytes | None:
        """All bytes of an object, or None where there is none."""
        system, path = self._filesystem_and_path[0], self._full_path(name)
        with _explain_errors("read", f"{name} of {self.url}"):
            try:
                with system.open_input_file(path) as file:
                    return bytes(file.readall())
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Writes an object, which nobody sees before all of it is stored; a broken upload leaves the old one."""
        with _explain_errors("write", f"{name} of {self.url}"):
            system, path = self._filesystem_and_path[0], self._full_path(name)
            with system.open_output_stream(path) as file:
                file.write(data)

    def delete(self, name: str) -> None:
        """Deletes an object, if it is there."""
        with _explain_errors("delete", f"{name} of {self.url}"):
            try:
                self._filesystem_and_path[0].delete_file(self._full_path(name))
            except FileNotFoundError:
                return

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        with _explain_errors("find", f"{name} of {self.url}"):
            return self._filesystem_and_path[0].get_file_info(self._full_path(name)).type == fs.FileType.File

    def modified_at(self, name: str) -> float:
        """When the object was written, in seconds since 1970 by the clock of the store, which may tell whole ones."""
        with _explain_errors("find", f"{name} of {self.url}"):
            return float(self._filesystem_and_path[0].get_file_info(self._full_path(name)).mtime_ns) / 1e9

    def open_file(self, name: str) -> Any:
        """The object, open for reading at any position."""
        return self._filesystem_and_path[0].open_input_file(self._full_path(name))

    def list_names(self, folder: str) -> list[str]:
        """The names under a prefix, sorted, without hidden ones."""
        with _explain_errors("list", f"{folder} of {self.url}"):
            found = self._filesystem_and_path[0].get_file_info(
                fs.FileSelector(self._full_path(folder), allow_not_found=True)
            )
            return sorted(info.base_name for info in found if not info.base_name.startswith("."))

    def list_regular(self, folder: str) -> tuple[list[str], list[str]]:
        """The names under a prefix, sorted; an object store holds nothing else."""
        return self.list_names(folder), []

    def sweep_abandoned(self, folder: str, age: float) -> int:
        """Nothing: a broken upload leaves no object, though a store may keep its parts until they expire."""
        return 0

    def address(self, name: str) -> str:
        """The object's URL, without the query that is for pyarrow alone."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/{name}"

    @property
    def options(self) -> dict[str, str] | None:
        """What Polars must know beside the address."""
        return build_polars_options(self.url)


Files = LocalFiles | RemoteFiles


def open_files(place: str | Path) -> Files:
    """The files at a path or a URL. Nothing is read or written yet."""
    text = str(place)
    if not text:
        raise ValueError("Results need a folder or a URL, got an empty string. Check --results.")
    if text.startswith("file://"):
        return LocalFiles(Path(unquote(urlsplit(text).path)))
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        check_url(text)
        return RemoteFiles(text.rstrip("/") if "?" not in text else text)
    try:
        return LocalFiles(Path(text).expanduser().absolute())
    except RuntimeError:  # of expanduser
        raise ValueError(
            f"A folder that starts with ~ must be that of a user of this machine, got {text!r}. Write the whole path, "
            "or ./~ for a folder of that name."
        ) from None
