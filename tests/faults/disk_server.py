"""An S3 server that keeps its objects on a disk of limited size, so that it may die, come back, and run full.

python -m tests.faults.disk_server PORT FOLDER
"""

import errno
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import S3Backend, s3_backends
from moto.server import main

__all__ = ["BUCKET", "DISK_BYTES", "REFUSED", "read_refused"]

BUCKET = "studies"
DISK_BYTES = 64 * 1024**2
REFUSED = "refused"  # beside the folder, for it must be written while the disk is full


def read_refused(folder: Path) -> int:
    """How many writes the full disk of this folder has refused."""
    path = folder.with_name(REFUSED)
    return path.stat().st_size if path.exists() else 0


class Disk:
    """Keeps each object of the bucket as a file, renamed into its place before the server answers."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._put, self._delete = S3Backend.put_object, S3Backend.delete_object

    def patch(self) -> None:
        """Has every backend write through to the disk."""
        disk = self

        def put_object(self: S3Backend, bucket_name: str, key_name: str, value: bytes, **options: Any) -> Any:
            with disk._lock:
                disk._claim(len(value))
                key = disk._put(self, bucket_name, key_name, value, **options)
                path = disk._path(key_name)
                new = path.with_name(f"{path.name}.new")
                new.write_bytes(value)
                when = int(key.last_modified.timestamp() * 1e9)
                os.utime(new, ns=(when, when))
                new.rename(path)
            return key

        def delete_object(self: S3Backend, bucket_name: str, key_name: str, *arguments: Any, **options: Any) -> Any:
            with disk._lock:
                disk._path(key_name).unlink(missing_ok=True)
                return disk._delete(self, bucket_name, key_name, *arguments, **options)

        S3Backend.put_object = put_object
        S3Backend.delete_object = delete_object

    def restore(self) -> None:
        """Puts what a server before this one has kept into the bucket, with the times of then."""
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        backend.create_bucket(BUCKET, "us-east-1")
        for path in self._folder.glob("o.*"):
            if path.suffix == ".new":
                path.unlink()
                continue
            key = self._put(backend, BUCKET, unquote(path.name.removeprefix("o.")), path.read_bytes())
            key.last_modified = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)

    def _path(self, key: str) -> Path:
        return self._folder / f"o.{quote(key, safe='')}"

    def _claim(self, size: int) -> None:
        if sum(entry.stat().st_size for entry in os.scandir(self._folder)) + size > DISK_BYTES:
            with self._folder.with_name(REFUSED).open("ab") as refused:
                refused.write(b".")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


if __name__ == "__main__":
    port, place = sys.argv[1:]
    kept = Disk(Path(place))
    kept.patch()
    kept.restore()
    main(["-H", "127.0.0.1", "-p", port])
