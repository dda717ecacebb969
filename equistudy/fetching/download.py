"""Downloads one file: resumed after an interruption, retried a bounded number of times, and renamed when verified."""

import errno
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pooch
import requests

from equistudy.fetching.registry import RemoteFile

__all__ = ["FetchError", "Progress", "check_checksum", "download_file", "list_urls"]

Progress = Callable[[str, int, int | None], None]  # name of the file, bytes so far, total bytes if known

MIRROR_VARIABLE = "EQUISTUDY_MIRROR"
MAX_IDLE_ATTEMPTS = 4  # consecutive attempts at one address that receive nothing
MAX_ATTEMPTS = 50  # all attempts at one address
WAIT_SECONDS = 1.0  # before the second attempt; doubles after each that receives nothing
MAX_WAIT_SECONDS = 60.0
TIMEOUT_SECONDS = (15.0, 60.0)  # to connect, and between two chunks
PIECE_BYTES = 2**16  # the most that an interruption loses
BUSY_STATUSES = {408, 425, 429, 500, 502, 503, 504}
HTML_STARTS = (b"<!doctype html", b"<html")


class FetchError(OSError):
    """A file could not be downloaded; nothing was written under its final name."""


class _RefusedError(Exception):
    """This address does not provide the file."""


class _BrokenError(Exception):
    """This address may provide the rest of the file on another attempt."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Complete(Exception):  # noqa: N818 -- no error
    """All bytes have arrived; anything more that the server sends is ignored."""


def list_urls(dataset: str, file: RemoteFile) -> tuple[str, ...]:
    """The addresses of a file in the order in which they are tried, starting with EQUISTUDY_MIRROR.

    Raises:
        ValueError: EQUISTUDY_MIRROR is not an http or https address.

    Example:
        With EQUISTUDY_MIRROR=https://mirror.example/data the file x.gz of mnist is first tried at
        https://mirror.example/data/mnist/x.gz.
    """
    prefix = os.environ.get(MIRROR_VARIABLE, "")
    if not prefix:
        return file.urls
    if not prefix.startswith(("http://", "https://")):
        raise ValueError(
            f"{MIRROR_VARIABLE} must be an http or https address, got {prefix!r}. "
            f"Try {MIRROR_VARIABLE}=https://mirror.example/data if that server has {dataset}/{file.name}."
        )
    return f"{prefix.rstrip('/')}/{dataset}/{file.name}", *file.urls


def check_checksum(path: Path, checksum: str) -> str | None:
    """A description of the mismatch between a file and its checksum, or None if they match."""
    algorithm, _, wanted = checksum.partition(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    return None if found == wanted else f"its {algorithm} is {found} instead of {wanted}"


def download_file(file: RemoteFile, urls: Sequence[str], target: Path, progress: Progress) -> None:
    """Downloads a file from the first address that provides it, verifies it, and renames it.

    Until then it is called `.NAME.part` in the same folder, from which the next call resumes if the server supports
    it. A complete file with a wrong checksum is kept as `NAME.wrong-checksum`.

    Raises:
        FetchError: no address provides the file with its checksum, or the disk is full.
    """
    _check_space(file, target)
    reasons = []
    for url in urls:
        try:
            _download_from(url, file, target, progress)
        except _RefusedError as error:
            reasons.append(f"{url}: {error}")
        else:
            return
    part = _get_part(target)
    if part.is_file() and not _get_size(part):
        part.unlink()
    raise FetchError(
        f"Cannot download {target.name}: {'; '.join(reasons)}. "
        f"Check the network and its proxy, set {MIRROR_VARIABLE} to a server that has the file, or download it "
        f"yourself to {target}."
    )


def _check_space(file: RemoteFile, target: Path) -> None:
    """Raises FetchError if the disk has no space for the file and what is unpacked from it."""
    needed = (file.size or 0) + (file.unpacking.max_bytes if file.unpacking else 0)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise _create_space_error(target, f"{free / 1e9:.2f} GB free, up to {needed / 1e9:.2f} GB needed")


def _create_space_error(target: Path, got: str) -> FetchError:
    return FetchError(
        f"Not enough disk space for {target.name}: {got} in {target.parent}. Free some space, or choose another disk "
        "with --into."
    )


def _download_from(url: str, file: RemoteFile, target: Path, progress: Progress) -> None:
    """Tries one address until it has sent the file, refuses, or has failed too often."""
    part, idle = _get_part(target), 0
    for _ in range(MAX_ATTEMPTS):
        start = _get_size(part)
        try:
            _receive(url, file, part, progress)
            _give_name(file, part, target, resumed=start > 0)
        except _BrokenError as error:
            idle = 0 if _get_size(part) > start else idle + 1
            if idle >= MAX_IDLE_ATTEMPTS:
                raise _RefusedError(f"{error}, after {idle} consecutive attempts without data") from error
            time.sleep(min(max(error.wait, WAIT_SECONDS * 2**idle), MAX_WAIT_SECONDS))
        else:
            return
    raise _RefusedError(f"the connection broke {MAX_ATTEMPTS} times; run the same command again to resume")


def _get_part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _get_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _give_name(file: RemoteFile, part: Path, target: Path, *, resumed: bool) -> None:
    """Renames a downloaded file if its checksum matches."""
    wrong = check_checksum(part, file.checksum)
    with part.open("rb") as opened:
        if wrong is None:
            os.fsync(opened.fileno())  # the rename must not reach the disk before the bytes
            part.replace(target)
            return
        is_html = opened.read(256).lstrip().lower().startswith(HTML_STARTS)
    if resumed or is_html:
        part.unlink()
    if resumed:  # the first part may belong to another file
        raise _BrokenError(f"{wrong} after resuming, so the download restarts")
    if is_html:
        raise _RefusedError("the server sent a web page instead of the file, such as a network's login page")
    aside = target.with_name(f"{target.name}.wrong-checksum")
    part.replace(aside)
    raise _RefusedError(f"{wrong} (kept as {aside.name})")


class _Sink:
    """Writes a response to disk, appending to the bytes already there if the server sends the rest."""

    def __init__(self, file: RemoteFile, part: Path, progress: Progress) -> None:
        self.file, self.progress = file, progress
        self.opened = part.open("ab")
        self.start = self.opened.tell()

    def take_answer(self, answer: requests.Response, *_: Any, **__: Any) -> None:
        """Checks status and headers before any byte is read."""
        if answer.is_redirect:
            return
        status = f"the server answered {answer.status_code} {answer.reason}"
        if answer.status_code == 416:  # there is no rest: the partial file belongs to another one
            self.opened.truncate(0)
            raise _BrokenError(status)
        if answer.status_code in BUSY_STATUSES:
            raise _BrokenError(status, _parse_wait(answer.headers.get("Retry-After", "")))
        if not answer.ok:
            raise _RefusedError(status)
        if "html" in answer.headers.get("Content-Type", ""):
            raise _RefusedError("the server sent a web page instead of the file, such as a network's login page")
        if answer.status_code != 206:
            self.start = 0
            self.opened.truncate(0)
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {self.start}-"):
            self.opened.truncate(0)
            raise _BrokenError("the server sent another part of the file than requested")
        # The checksum is that of the stored file, so nothing may be decompressed in transit.
        answer.raw.headers.pop("Content-Encoding", None)

    def write(self, piece: bytes) -> None:
        """Writes the next bytes, up to the size of the file."""
        there = self.opened.tell()
        self.opened.write(piece[: self.file.max_bytes - there])
        self.progress(self.file.name, self.opened.tell(), self.file.size)
        if there + len(piece) >= self.file.max_bytes:
            raise _Complete

    def flush(self) -> None:
        """Flushes to the operating system, so that the bytes survive the process."""
        self.opened.flush()


def _parse_wait(text: str) -> float:
    with suppress(ValueError):
        return float(text)
    return 0.0


def _receive(url: str, file: RemoteFile, part: Path, progress: Progress) -> None:
    """Appends what the server sends until the file is complete."""
    size = _get_size(part)
    if size == file.size:
        return
    if size > file.max_bytes:
        part.unlink()
    sink = _Sink(file, part, progress)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={sink.start}-"} if sink.start else {})
    try:
        with sink.opened, suppress(_Complete):
            pooch.HTTPDownloader(
                chunk_size=PIECE_BYTES, timeout=TIMEOUT_SECONDS, headers=headers, hooks={"response": sink.take_answer}
            )(url, sink, None)
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise _RefusedError(str(error)) from error
    except requests.RequestException as error:
        raise _BrokenError(_describe(error)) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _create_space_error(part, "no space left") from error
        raise
    if file.size is not None and _get_size(part) < file.size:
        raise _BrokenError(f"the connection ended after {_get_size(part)} of {file.size} bytes")


def _describe(error: requests.RequestException) -> str:
    """Describes a connection error."""
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the server is not trusted"
    if isinstance(error, requests.exceptions.Timeout):
        return "the server timed out"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    return "no connection"
