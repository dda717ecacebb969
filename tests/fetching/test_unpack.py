"""Archives: what is expected of them is unpacked, and nothing leads out, is a link, or is larger than stated."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from equistudy.fetching.download import FetchError
from equistudy.fetching.registry import Unpacking
from equistudy.fetching.unpack import unpack

SOME = Unpacking("images", 1000, 3, top="images")


def write(path: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = b"" if isinstance(content, tarfile.TarInfo) else content
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def make_special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_folder_is_unpacked(folder):
    top = make_special("images", tarfile.DIRTYPE)
    archive = write(folder / "x.tgz", {"images": top, "images/a": b"1", "./images/deep/b": b"22"})
    assert unpack(archive, SOME) == folder / "images"
    assert (folder / "images" / "a").read_bytes() == b"1"
    assert (folder / "images" / "deep" / "b").read_bytes() == b"22"
    assert {path.name for path in folder.iterdir()} == {"x.tgz", "images"}


def test_files_without_a_folder_get_one(folder):
    archive = write(folder / "x.tar.bz2", {"a.xyz": b"1", "b.xyz": b"2"}, "w:bz2")
    unpack(archive, Unpacking("molecules", 1000, 3, top=""))
    assert sorted(path.name for path in (folder / "molecules").iterdir()) == ["a.xyz", "b.xyz"]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../evil": b"1"}, r"the path '\.\./evil'"),
        ({"images/../../evil": b"1"}, "the path"),
        ({"/evil": b"1"}, "the path '/evil'"),
        ({"other/a": b"1"}, "the path 'other/a'"),
        ({"images/link": make_special("images/link", tarfile.SYMTYPE, "/etc/passwd")}, "not a regular file"),
        ({"images/link": make_special("images/link", tarfile.LNKTYPE, "../evil")}, "not a regular file"),
        ({"images/pipe": make_special("images/pipe", tarfile.FIFOTYPE)}, "not a regular file"),
        ({"images/a": b"1" * 600, "images/b": b"1" * 401}, "more than 1000 bytes or 3 files"),
        ({f"images/{k}": b"" for k in range(4)}, "more than 1000 bytes or 3 files"),
    ],
)
def test_what_no_dataset_has_is_refused(folder, members, reason):
    archive = write(folder / "x.tgz", members)
    with pytest.raises(FetchError, match=rf"got .*x\.tgz with: .*{reason}"):
        unpack(archive, SOME)
    assert {path.name for path in folder.iterdir()} == {"x.tgz"}
    assert not (folder.parent / "evil").exists()


def test_a_damaged_archive_leaves_nothing(folder):
    archive = write(folder / "x.tgz", {"images/a": os.urandom(900)})
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no archive", whole[:40] + b"?" * 40 + whole[80:]):
        archive.write_bytes(damaged)
        with pytest.raises(FetchError, match=r"got .*x\.tgz with"):
            unpack(archive, SOME)
        assert {path.name for path in folder.iterdir()} == {"x.tgz"}


def test_an_archive_without_the_folder(folder):
    with pytest.raises(FetchError, match=r"must contain images, got .*x\.tgz without"):
        unpack(write(folder / "x.tgz", {}), SOME)


def test_what_is_there_is_not_written_over(folder):
    archive = write(folder / "x.tgz", {"images/a": b"1"})
    (folder / "images").mkdir()
    with pytest.raises(FetchError, match=r"a new folder, got .*images, which exists but is incomplete\. Move it away"):
        unpack(archive, SOME)
