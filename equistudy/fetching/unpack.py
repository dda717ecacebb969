"""Extracts one folder from a tar archive: only regular files, only inside that folder, up to a stated size."""

import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from equistudy.fetching.download import FetchError
from equistudy.fetching.registry import Unpacking

__all__ = ["UNPACKING_PREFIX", "unpack"]

UNPACKING_PREFIX = ".unpacking-"
PIECE_BYTES = 2**20


def unpack(archive: Path, unpacking: Unpacking) -> Path:
    """Extracts the folder beside the archive, and renames it when it is complete.

    Raises:
        FetchError: the archive is damaged, contains a path outside the folder, a link or a device, or unpacks to more
            bytes or files than the dataset has.
    """
    target = archive.parent / unpacking.folder
    if target.exists():
        raise FetchError(
            f"The archive must be unpacked to a new folder, got {target}, which exists but is incomplete. Move it "
            "away, then fetch again."
        )
    with tempfile.TemporaryDirectory(prefix=UNPACKING_PREFIX, dir=archive.parent) as name:
        try:
            # Files without a folder get one here.
            _extract(archive, Path(name) / ("" if unpacking.top else unpacking.folder), unpacking)
        except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
            raise FetchError(
                f"The archive must be complete and hold only {unpacking.folder}, got {archive} with: {error}. "
                "Delete it, then fetch again."
            ) from error
        found = Path(name) / (unpacking.top or unpacking.folder)
        if not found.is_dir():
            raise FetchError(
                f"The archive must contain {unpacking.top or 'files'}, got {archive} without. Delete it, then fetch "
                "again."
            )
        found.replace(target)
    return target


def _extract(archive: Path, folder: Path, unpacking: Unpacking) -> None:
    """Extracts the files one by one. Raises ValueError for one that must not be extracted."""
    num_bytes = num_files = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            inside = not path.is_absolute() and ".." not in path.parts
            if not inside or (unpacking.top and path.parts[:1] != (unpacking.top,) and path.parts):
                raise ValueError(f"the path {member.name!r}")
            if member.isdir():
                continue
            if not member.isreg():
                raise ValueError(f"{member.name!r}, which is not a regular file")
            num_bytes, num_files = num_bytes + member.size, num_files + 1
            if num_bytes > unpacking.max_bytes or num_files > unpacking.max_files:
                raise ValueError(f"more than {unpacking.max_bytes} bytes or {unpacking.max_files} files")
            content = tar.extractfile(member)
            assert content is not None
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with content, (folder / path).open("xb") as file:
                shutil.copyfileobj(content, file, PIECE_BYTES)
