"""One file from a server that breaks, refuses or lies: whole and right, or not there under its name."""

import errno
import gzip
import random
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from equistudy.fetching import download
from equistudy.fetching.download import FetchError, check_checksum, download_file, list_urls
from equistudy.fetching.registry import RemoteFile

CONTENT = random.Random(0).randbytes(700_000)


def silent(name: str, there: int, size: int | None) -> None:
    pass


def fetch(file: RemoteFile, folder: Path, progress=silent) -> Path:
    download_file(file, file.urls, folder / file.name, progress)
    assert {path.name for path in folder.iterdir()} == {file.name}, "nothing else is left behind"
    return folder / file.name


def test_a_file_arrives_whole(site, folder):
    told = []
    file = site.publish("x.bin", CONTENT)
    path = fetch(file, folder, lambda *progress: told.append(progress))
    assert path.read_bytes() == CONTENT
    assert told[-1] == ("x.bin", len(CONTENT), len(CONTENT))
    assert [there for _, there, _ in told] == sorted(there for _, there, _ in told)


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_broken_download_is_resumed(site, folder, size):
    def breaks(handler, content):
        handler.answer(200, content[:262_144], length=len(content))

    def breaks_again(handler, content):
        handler.answer(206, content[262_144:393_216], {"Content-Range": f"bytes 262144-{len(content) - 1}/x"}, 437_856)

    assert fetch(site.publish("x.bin", CONTENT, breaks, breaks_again, size=size), folder).read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == [None, "bytes=262144-", "bytes=393216-"]


def test_the_next_call_resumes_and_a_wrong_beginning_starts_anew(site, folder):
    file = site.publish("x.bin", CONTENT)
    (folder / ".x.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(file, folder).read_bytes() == CONTENT
    (folder / ".x.bin.part").write_bytes(b"?" * 1000)
    assert fetch(file, folder).read_bytes() == CONTENT
    (folder / ".x.bin.part").write_bytes(b"?" * (len(CONTENT) + 1))
    assert fetch(file, folder).read_bytes() == CONTENT
    (folder / ".x.bin.part").write_bytes(CONTENT)
    before = len(site.asked)
    assert fetch(file, folder).read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == ["bytes=1000-", "bytes=1000-", None, None]
    assert len(site.asked) == before, "what is whole is not asked for"


def test_a_server_without_ranges_sends_all_again(site, folder):
    file = site.publish("x.bin", CONTENT, lambda handler, content: handler.answer(200, content))
    (folder / ".x.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(file, folder).read_bytes() == CONTENT


def test_a_server_that_sends_another_part_is_asked_anew(site, folder):
    def other(handler, content):
        handler.answer(206, content[5:], {"Content-Range": f"bytes 5-{len(content) - 1}/{len(content)}"})

    (folder / ".x.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(site.publish("x.bin", CONTENT, other), folder).read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == ["bytes=1000-", None]


def test_a_part_beyond_the_end_starts_anew(site, folder):
    (folder / ".x.bin.part").write_bytes(CONTENT + b"?")
    assert fetch(site.publish("x.bin", CONTENT, size=None), folder).read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == [f"bytes={len(CONTENT) + 1}-", None]


def test_a_busy_server_is_asked_again_and_not_for_ever(site, folder, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)

    def busy(handler, content):
        handler.answer(503, b"", {"Retry-After": "7"})

    fetch(site.publish("x.bin", CONTENT, busy, busy), folder)
    assert waits == [7.0, 7.0]
    file = site.publish("y.bin", CONTENT, *[busy] * 20)
    with pytest.raises(FetchError, match=r"503 Service Unavailable, after 4 consecutive attempts without data"):
        download_file(file, file.urls, folder / "y.bin", silent)
    assert len([path for path, _ in site.asked if path == "/y.bin"]) == 4
    assert not (folder / "y.bin").exists()


def test_a_server_that_always_breaks_is_given_up(site, folder, monkeypatch):
    monkeypatch.setattr(download, "PIECE_BYTES", 1)

    def one_byte(handler, content):
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        span = {"Content-Range": f"bytes {start}-9/9"} if start else {}
        handler.answer(206 if start else 200, content[start : start + 1], span, length=1000)

    file = site.publish("x.bin", CONTENT, *[one_byte] * 200)
    with pytest.raises(FetchError, match=r"broke 50 times; run the same command again to resume"):
        download_file(file, file.urls, folder / "x.bin", silent)
    assert (folder / ".x.bin.part").stat().st_size == 50


def test_wrong_bytes_are_kept_under_a_name_that_says_so(site, folder):
    file = site.publish("x.bin", CONTENT, lambda handler, content: handler.answer(200, content[::-1]))
    with pytest.raises(FetchError, match=r"its sha256 is \w{64} instead of \w{64} \(kept as x\.bin\.wrong-checksum\)"):
        download_file(file, file.urls, folder / "x.bin", silent)
    assert {path.name for path in folder.iterdir()} == {"x.bin.wrong-checksum"}
    assert (folder / "x.bin.wrong-checksum").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(("kind", "size"), [("text/html; charset=utf-8", 700_000), ("application/gzip", None)])
def test_a_web_page_is_no_file(site, folder, kind, size):
    page = b"\n<!DOCTYPE html><html><body>Please log in</body></html>"
    file = site.publish("x.bin", CONTENT, lambda h, _: h.answer(200, page, {"Content-Type": kind}), size=size)
    with pytest.raises(FetchError, match="server sent a web page instead of the file, such as a network's"):
        download_file(file, file.urls, folder / "x.bin", silent)
    assert not (folder / "x.bin").exists()
    assert not (folder / "x.bin.wrong-checksum").exists()


@pytest.mark.parametrize("length", [100, len(CONTENT) - 1, len(CONTENT) + 1, 10 * len(CONTENT)])
def test_a_wrong_content_length_does_no_harm(site, folder, length):
    file = site.publish("x.bin", CONTENT, lambda handler, content: handler.answer(200, content, length=length))
    assert fetch(file, folder).read_bytes() == CONTENT


def test_no_more_is_taken_than_the_file_has(site, folder):
    def endless(handler, content):
        handler.answer(200, b"?" * 5_000_000, length=10**12)

    file = site.publish("x.bin", CONTENT, endless)
    with pytest.raises(FetchError, match="wrong-checksum"):
        download_file(file, file.urls, folder / "x.bin", silent)
    assert (folder / "x.bin.wrong-checksum").stat().st_size == len(CONTENT)


def test_bytes_are_kept_as_they_are_stored(site, folder):
    packed = gzip.compress(CONTENT)
    file = site.publish("x.gz", packed, lambda h, content: h.answer(200, content, {"Content-Encoding": "gzip"}))
    assert fetch(file, folder).read_bytes() == packed


def test_redirects_are_followed(site, folder):
    file = site.publish("x.bin", CONTENT)
    moved = site.publish("old.bin", CONTENT, lambda h, _: h.answer(302, b"", {"Location": "/x.bin"}))
    download_file(moved, moved.urls, folder / file.name, silent)
    assert (folder / "x.bin").read_bytes() == CONTENT


def test_the_next_address_is_tried_and_all_reasons_are_told(site, folder):
    file = site.publish("x.bin", CONTENT)
    gone, wrong = f"{site.url}/gone.bin", f"{site.url}/wrong.bin"
    site.contents["/wrong.bin"] = CONTENT[1:] + b"?"
    download_file(file, (gone, wrong, *file.urls), folder / "x.bin", silent)
    assert (folder / "x.bin").read_bytes() == CONTENT
    with pytest.raises(FetchError, match=r"gone\.bin: the server answered 404 Not Found; .*wrong\.bin: its sha256"):
        download_file(file, (gone, wrong), folder / "y.bin", silent)


def test_no_network(folder):
    file = RemoteFile("x.bin", ("http://127.0.0.1:9/x.bin", "http://"), "md5:0", 4)
    with pytest.raises(
        FetchError, match=r"127\.0\.0\.1:9/x\.bin: no connection, after 4 .* EQUISTUDY_MIRROR .*yourself"
    ):
        download_file(file, file.urls, folder / "x.bin", silent)
    assert not (folder / "x.bin").exists()


def test_a_proxy_that_is_not_there(folder, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    file = RemoteFile("x.bin", ("http://example.invalid/x.bin",), "md5:0", 4)
    with pytest.raises(FetchError, match="the proxy cannot be reached"):
        download_file(file, file.urls, folder / "x.bin", silent)


def test_a_server_that_falls_silent(site, folder, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", (1.0, 0.2))

    def falls_silent(handler, content):
        handler.answer(200, content[:131_072], length=len(content))
        with suppress(OSError):
            handler.rfile.read(1)  # until the client hangs up

    assert fetch(site.publish("x.bin", CONTENT, falls_silent), folder).read_bytes() == CONTENT
    assert [asked for _, asked in site.asked] == [None, "bytes=131072-"]


def test_a_full_disk(site, folder, monkeypatch):
    file = site.publish("x.bin", CONTENT)
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage._replace(free=10**5))
    with pytest.raises(FetchError, match=r"disk space for x\.bin: 0\.00 GB free.* --into"):
        download_file(file, file.urls, folder / "x.bin", silent)
    assert site.asked == []
    monkeypatch.undo()

    def full(name, there, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FetchError, match=r"no space left in .*Free some space"):
        download_file(file, file.urls, folder / "x.bin", full)
    assert not (folder / "x.bin").exists()


def test_the_mirror_comes_first(monkeypatch):
    file = RemoteFile("x.gz", ("https://a/x.gz",), "md5:0", 1)
    assert list_urls("mnist", file) == file.urls
    monkeypatch.setenv("EQUISTUDY_MIRROR", "https://mirror.example/data/")
    assert list_urls("mnist", file) == ("https://mirror.example/data/mnist/x.gz", "https://a/x.gz")
    monkeypatch.setenv("EQUISTUDY_MIRROR", "mirror.example")
    with pytest.raises(ValueError, match=r"must be an http or https address, got 'mirror\.example'.* has mnist/x\.gz"):
        list_urls("mnist", file)


def test_checksums(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")  # the test vector of RFC 1321 and FIPS 180
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert check_checksum(tmp_path / "x", f"sha256:{sha}") is None
    assert check_checksum(tmp_path / "x", "md5:900150983cd24fb0d6963f7d28e17f72") is None
    assert check_checksum(tmp_path / "x", "md5:9") == "its md5 is 900150983cd24fb0d6963f7d28e17f72 instead of 9"
