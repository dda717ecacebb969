"""Downloads one file: resumed after a break, tried again a bounded number of times, and named only when it is right."""

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

Progress = Callable[[str, int, int | None], None]  # name of the file, bytes that are there, bytes in all if known

MIRROR_VARIABLE = "EQUISTUDY_MIRROR"
MAX_IDLE_ATTEMPTS = 4  # attempts at one address, one after the other, that bring nothing
MAX_ATTEMPTS = 50  # all attempts at one address, however little each brings
WAIT_SECONDS = 1.0  # before the second attempt; doubles with each that brings nothing
MAX_WAIT_SECONDS = 60.0
TIMEOUT_SECONDS = (15.0, 60.0)  # to connect, and between two pieces
PIECE_BYTES = 2**16  # what a break loses at most
BUSY_STATUSES = {408, 425, 429, 500, 502, 503, 504}
HTML_STARTS = (b"<!doctype html", b"<html")


class FetchError(OSError):
    """What was asked for could not be downloaded; nothing stands under its final name."""


class _RefusedError(Exception):
    """This address will not give the file."""


class _BrokenError(Exception):
    """This address may give the file, or its rest, if it is asked again."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Complete(Exception):  # noqa: N818 -- no error
    """All bytes have arrived, whatever more the server may send."""


def list_urls(dataset: str, file: RemoteFile) -> tuple[str, ...]:
    """The addresses of a file in the order in which they are tried: that of EQUISTUDY_MIRROR comes first.

    Raises:
        ValueError: EQUISTUDY_MIRROR is no http or https address.

    Example:
        With EQUISTUDY_MIRROR=https://mirror.example/data the file x.gz of mnist is first looked for at
        https://mirror.example/data/mnist/x.gz.
    """
    prefix = os.environ.get(MIRROR_VARIABLE, "")
    if not prefix:
        return file.urls
    if not prefix.startswith(("http://", "https://")):
        raise ValueError(
            f"{MIRROR_VARIABLE} is the address of a server, got {prefix!r}. "
            f"Try {MIRROR_VARIABLE}=https://mirror.example/data, which must hold {dataset}/{file.name}."
        )
    return f"{prefix.rstrip('/')}/{dataset}/{file.name}", *file.urls


def check_checksum(path: Path, checksum: str) -> str | None:
    """What is wrong with the bytes of a file, or None if they have the checksum."""
    algorithm, _, wanted = checksum.partition(":")
    found = pooch.file_hash(str(path), alg=algorithm)
    return None if found == wanted else f"its {algorithm} is {found} instead of {wanted}"


def download_file(file: RemoteFile, urls: Sequence[str], target: Path, progress: Progress) -> None:
    """Downloads a file from the first address that gives it, checks it, and gives it its name.

    Until then it is `.NAME.part` in the same folder, from which the next call goes on where the server can send the
    rest of a file. A whole file with a wrong checksum is kept as `NAME.wrong-checksum`.

    Raises:
        FetchError: no address gives the file with its checksum, or the disk is full.
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
        f"A file must arrive whole and with its published checksum, got no such {target.name}. {'; '.join(reasons)}. "
        f"Check the network and its proxy, set {MIRROR_VARIABLE} to a server that has the file, or download it "
        f"yourself to {target}."
    )


def _check_space(file: RemoteFile, target: Path) -> None:
    """FetchError if the disk has no room for the file and what is unpacked from it."""
    needed = (file.size or 0) + (file.unpacking.max_bytes if file.unpacking else 0)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise _create_space_error(target, f"{free / 1e9:.2f} GB where up to {needed / 1e9:.2f} GB are needed")


def _create_space_error(target: Path, got: str) -> FetchError:
    return FetchError(
        f"The disk must have room for {target.name}, got {got} in {target.parent}. Free some space, or choose "
        "another disk with --into."
    )


def _download_from(url: str, file: RemoteFile, target: Path, progress: Progress) -> None:
    """Tries one address until it gives the file, refuses, or has failed too often."""
    part, idle = _get_part(target), 0
    for _ in range(MAX_ATTEMPTS):
        start = _get_size(part)
        try:
            _receive(url, file, part, progress)
            _give_name(file, part, target, resumed=start > 0)
        except _BrokenError as error:
            idle = 0 if _get_size(part) > start else idle + 1
            if idle >= MAX_IDLE_ATTEMPTS:
                raise _RefusedError(f"{error}, after {idle} attempts in a row that brought nothing") from error
            time.sleep(min(max(error.wait, WAIT_SECONDS * 2**idle), MAX_WAIT_SECONDS))
        else:
            return
    raise _RefusedError(f"the connection broke {MAX_ATTEMPTS} times; the same command goes on from there")


def _get_part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _get_size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _give_name(file: RemoteFile, part: Path, target: Path, *, resumed: bool) -> None:
    """Names a file that has its checksum."""
    wrong = check_checksum(part, file.checksum)
    with part.open("rb") as opened:
        if wrong is None:
            os.fsync(opened.fileno())  # the name must not reach the disk before the bytes
            part.replace(target)
            return
        is_html = opened.read(256).lstrip().lower().startswith(HTML_STARTS)
    if resumed or is_html:
        part.unlink()
    if resumed:  # its beginning may be that of another file
        raise _BrokenError(f"{wrong} after it was resumed, so that it starts anew")
    if is_html:
        raise _RefusedError("a web page came instead of the file, such as the login of a network")
    aside = target.with_name(f"{target.name}.wrong-checksum")
    part.replace(aside)
    raise _RefusedError(f"{wrong} (kept as {aside.name})")


class _Sink:
    """Where the bytes of an answer go: behind those that are there, if that is what the server sends."""

    def __init__(self, file: RemoteFile, part: Path, progress: Progress) -> None:
        self.file, self.progress = file, progress
        self.opened = part.open("ab")
        self.start = self.opened.tell()

    def take_answer(self, answer: requests.Response, *_: Any, **__: Any) -> None:
        """Looks at status and headers before any byte is read."""
        if answer.is_redirect:
            return
        status = f"the server answers {answer.status_code} {answer.reason}"
        if answer.status_code == 416:  # there is no rest: what is there is not the beginning of this file
            self.opened.truncate(0)
            raise _BrokenError(status)
        if answer.status_code in BUSY_STATUSES:
            raise _BrokenError(status, _parse_wait(answer.headers.get("Retry-After", "")))
        if not answer.ok:
            raise _RefusedError(status)
        if "html" in answer.headers.get("Content-Type", ""):
            raise _RefusedError("a web page came instead of the file, such as the login of a network")
        if answer.status_code != 206:
            self.start = 0
            self.opened.truncate(0)
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {self.start}-"):
            self.opened.truncate(0)
            raise _BrokenError("the server sends another part of the file than the rest")
        # the checksum is that of the file as it is stored, not of what a helpful server or client unpacks
        answer.raw.headers.pop("Content-Encoding", None)

    def write(self, piece: bytes) -> None:
        """Takes the next bytes, up to the size of the file."""
        there = self.opened.tell()
        self.opened.write(piece[: self.file.max_bytes - there])
        self.progress(self.file.name, self.opened.tell(), self.file.size)
        if there + len(piece) >= self.file.max_bytes:
            raise _Complete

    def flush(self) -> None:
        """Hands the bytes to the system, so that they survive the process."""
        self.opened.flush()


def _parse_wait(text: str) -> float:
    with suppress(ValueError):
        return float(text)
    return 0.0


def _receive(url: str, file: RemoteFile, part: Path, progress: Progress) -> None:
    """Appends what the server sends until the file is whole."""
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
    """What broke a connection, in words."""
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the server is not trusted"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    return "no connection"
