"""Reading files: gzip in all its shapes against Python's own, limits, and failures that name the file."""

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from equistudy.datasets.contents import check_archive, compute_max_bytes, find_file, read_bytes, read_content, read_text


@pytest.mark.parametrize("size", [0, 1, 100, 2**24, 2**24 + 1, 40_000_000])
def test_gzip_is_unpacked_as_python_does(tmp_path: Path, size: int) -> None:
    data = np.random.default_rng(size).integers(0, 3, size, dtype=np.uint8).tobytes()
    half = size // 2
    packed = gzip.compress(data[:half], 1) + gzip.compress(data[half:], 1) + b"\0" * 5  # two members and padding
    (tmp_path / "a.gz").write_bytes(packed)
    assert read_content(tmp_path / "a.gz") == gzip.decompress(packed) == data


def test_a_damaged_gzip_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(os.urandom(5000))
    for number, damaged in enumerate((packed[:-9], packed[:20], packed[:40] + b"\xff" * 40 + packed[80:], packed[:10])):
        path = tmp_path / f"{number}.gz"
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=rf"Cannot decompress .*{number}\.gz, which is damaged or truncated: .*Copy it again"
        ):
            read_content(path)


def test_what_unpacks_to_too_much_is_refused_before_memory_is_full(tmp_path: Path, monkeypatch) -> None:
    assert compute_max_bytes() == 10**9
    monkeypatch.setenv("EQUISTUDY_MAX_UNPACKED_GB", "0.05")
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"\0" * 10**8))
    with pytest.raises(
        ValueError, match=r"at most 0\.05 GB, got more from .*bomb\.gz\. .* EQUISTUDY_MAX_UNPACKED_GB=4"
    ):
        read_content(path)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\0" * 10**8)
    with pytest.raises(ValueError, match=r"at most 0\.05 GB, got more from .*bomb\.npz"):
        check_archive(tmp_path / "bomb.npz")
    monkeypatch.setenv("EQUISTUDY_MAX_UNPACKED_GB", "0.2")
    assert len(read_content(path)) == 10**8
    check_archive(tmp_path / "bomb.npz")
    for text in ("much", "-1", "nan"):
        monkeypatch.setenv("EQUISTUDY_MAX_UNPACKED_GB", text)
        with pytest.raises(ValueError, match=f"must be a positive number of gigabytes, got '{text}'"):
            compute_max_bytes()


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for read in (read_bytes, read_text, read_content):
        with pytest.raises(ValueError, match=r"Cannot read data file .*gone: No such file or directory\. Check"):
            read(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"Cannot read data file .*: Is a directory"):
        read_bytes(tmp_path)
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(ValueError, match=r"must be UTF-8, got .*latin\.txt with byte 0xe9 at position 3\. Convert it"):
        read_text(tmp_path / "latin.txt")
    (tmp_path / "marked.txt").write_bytes(b"\xef\xbb\xbfa")
    assert read_text(tmp_path / "marked.txt") == "a"


def test_a_file_or_its_gzipped_form(tmp_path: Path) -> None:
    assert find_file(tmp_path / "a") is None
    (tmp_path / "a.gz").touch()
    assert find_file(tmp_path / "a") == tmp_path / "a.gz"
    (tmp_path / "a").touch()
    assert find_file(tmp_path / "a") == tmp_path / "a"
