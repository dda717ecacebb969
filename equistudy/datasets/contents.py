"""Bytes and text of data files, decompressed up to a limit; every error names its file."""

import os
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

__all__ = ["GZIP_MAGIC", "check_archive", "compute_max_bytes", "find_file", "read_bytes", "read_content", "read_text"]

GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31  # zlib's name for the gzip format with the largest window
PIECE = 2**24  # bytes decompressed at a time
LIMIT_VARIABLE = "EQUISTUDY_MAX_UNPACKED_GB"
DEFAULT_LIMIT_GB = 1.0


def compute_max_bytes() -> int:
    """The most bytes that a compressed file may unpack to in memory: EQUISTUDY_MAX_UNPACKED_GB, by default 1 GB."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    with suppress(ValueError, OverflowError):
        if not text or float(text) > 0:
            return int(float(text or DEFAULT_LIMIT_GB) * 1e9)
    raise ValueError(f"{LIMIT_VARIABLE} must be a positive number of gigabytes, got {text!r}. Try {LIMIT_VARIABLE}=4.")


def find_file(path: Path) -> Path | None:
    """The file if it exists, or else its gzipped form, or else None."""
    gzipped = path.with_name(f"{path.name}.gz")
    return path if path.is_file() else gzipped if gzipped.is_file() else None


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises ValueError if the operating system cannot read it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"Cannot read data file {path}: {error.strerror or error}. Check the path and its permissions."
        ) from error


def read_text(path: Path) -> str:
    """The text of a UTF-8 file. Raises ValueError for other encodings."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"A text file of a dataset must be UTF-8, got {path} with byte 0x{error.object[error.start]:02x} at "
            f"position {error.start}. Convert it: iconv -t UTF-8."
        ) from error


def read_content(path: Path) -> bytes:
    """The bytes of a file, decompressed if they are gzipped, whatever its name.

    Raises ValueError if a gzipped file is truncated, or unpacks to more than `compute_max_bytes` allows.
    """
    data = read_bytes(path)
    if not data.startswith(GZIP_MAGIC):
        return data
    limit, unpacked, size = compute_max_bytes(), list[bytes](), 0
    try:
        while data:
            stream = zlib.decompressobj(GZIP_WINDOW)
            while not stream.eof:
                piece = stream.decompress(data, PIECE)
                data = stream.unconsumed_tail or stream.unused_data
                if not piece and not data and not stream.eof:
                    raise EOFError("the compressed stream ends early")
                unpacked.append(piece)
                size += len(piece)
                if size > limit:
                    raise _create_limit_error(path, limit)
            data = stream.unused_data.lstrip(b"\0")  # some writers pad the end with zeros
    except (EOFError, zlib.error) as error:
        raise ValueError(f"Cannot decompress {path}, which is damaged or truncated: {error}. Copy it again.") from error
    return b"".join(unpacked)


def check_archive(path: Path) -> None:
    """Raises ValueError if a zip archive, such as .npz, unpacks to more than `compute_max_bytes` allows."""
    limit, size = compute_max_bytes(), 0
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # the reader of the arrays reports other errors
        size = sum(entry.file_size for entry in archive.infolist())
    if size > limit:
        raise _create_limit_error(path, limit)


def _create_limit_error(path: Path, limit: int) -> ValueError:
    return ValueError(
        f"A compressed file may unpack to at most {limit / 1e9:g} GB, got more from {path}. If you trust the file, "
        f"raise the limit: {LIMIT_VARIABLE}={max(4, 2 * limit / 1e9):g}."
    )
