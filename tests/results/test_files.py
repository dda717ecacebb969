"""A file is there whole or not at all, locally and remotely, and errors say what to do."""

import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from equistudy.results import files as module
from equistudy.results.files import LocalFiles, RemoteFiles, StorageError, open_files

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["local", "remote"])
def place(request, tmp_path, monkeypatch):
    """The same verbs on a folder and, through pyarrow, on what stands in for an object store."""
    if request.param == "local":
        return LocalFiles(tmp_path)
    monkeypatch.setattr(module, "OBJECT_STORES", {"local"})
    (tmp_path / "trials").mkdir()
    return RemoteFiles(f"file://{tmp_path}")


def everything(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_writes_and_reads_back(place, tmp_path):
    assert place.read("trials/a") is None
    place.write("trials/a", b"one")
    place.write("trials/a", b"two")
    assert place.read("trials/a") == b"two"
    place.write("trials/b", b"")
    assert place.read("trials/b") == b""
    assert place.exists("trials/a")
    assert not place.exists("trials")
    assert everything(tmp_path) == ["a", "b"]


def test_lists_without_hidden_files_and_deletes_twice(place, tmp_path):
    place.write("trials/b", b"1")
    place.write("trials/a", b"1")
    (tmp_path / "trials" / ".a.host.1.0.tmp").touch()
    assert place.list_names("trials") == ["a", "b"]
    assert place.list_names("nowhere") == []
    place.delete("trials/a")
    place.delete("trials/a")
    assert place.list_names("trials") == ["b"]


def test_opens_at_any_position(place):
    place.write("trials/a", b"abcdef")
    with place.open_file("trials/a") as file:
        file.seek(4)
        assert file.read() == b"ef"
    with pytest.raises(FileNotFoundError):
        place.open_file("trials/b")


def test_travels_by_pickle(place):
    place.write("trials/a", b"1")
    assert pickle.loads(pickle.dumps(place)).read("trials/a") == b"1"


def test_open_files_knows_paths_and_urls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_files("results") == LocalFiles(tmp_path / "results")
    assert open_files(f"file://{tmp_path}/a%20b") == LocalFiles(tmp_path / "a b")
    assert open_files("s3://bucket/results/") == RemoteFiles("s3://bucket/results")
    with pytest.raises(ValueError, match=r"folder or a URL, got an empty string. Check --results"):
        open_files("")


def test_addresses_for_polars():
    plain = open_files("gs://bucket/results")
    assert (plain.address("trials/a.parquet"), plain.options) == ("gs://bucket/results/trials/a.parquet", None)
    minio = open_files("s3://bucket/results?scheme=http&endpoint_override=localhost%3A9000&region=eu-west-1")
    assert minio.address("trials/a.parquet") == "s3://bucket/results/trials/a.parquet"
    assert minio.options == {
        "aws_endpoint_url": "http://localhost:9000",
        "aws_allow_http": "true",
        "aws_region": "eu-west-1",
    }


def test_unknown_scheme():
    with pytest.raises(ValueError, match=r"such as s3://bucket/results, got nope://x: .*Check --results"):
        open_files("nope://x").read("a")


def test_a_file_system_where_files_grow_visibly_is_refused():
    with pytest.raises(ValueError, match=r"object store \(abfs, gcs, s3\).*got mock:///x. Choose another place"):
        open_files("mock:///x").list_names("")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, r"Cannot write .*trials/a: No space left on device. Free some space and run the same command"),
        (errno.EDQUOT, r"Disk quota exceeded. Free some of your quota"),
        (errno.EROFS, r"Read-only file system. Choose a folder that you can write to with --results"),
        (errno.EIO, r"Input/output error. Check the storage, then run the same command again"),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_disk_that_refuses_leaves_nothing(tmp_path, monkeypatch, number, message, call):
    place = LocalFiles(tmp_path)
    place.write("trials/a", b"before")

    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((Path, "replace") if call == "replace" else (os, call)), refuse)
    with pytest.raises(StorageError, match=message):
        place.write("trials/a", b"after")
    assert everything(tmp_path) == ["a"]
    assert place.read("trials/a") == b"before"


def test_a_half_written_file_is_deleted(tmp_path, monkeypatch):
    real = os.write
    calls = []

    def full_after_the_first(descriptor, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:10])

    monkeypatch.setattr(os, "write", full_after_the_first)
    with pytest.raises(StorageError, match="No space left"):
        LocalFiles(tmp_path).write("a", b"x" * 100)
    assert calls == [100, 90]
    assert everything(tmp_path) == []


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "trials").write_text("in the way")
    with pytest.raises(StorageError, match=r"Cannot write .*/trials/a: .*A file is in the way: choose another folder"):
        LocalFiles(tmp_path).write("trials/a", b"1")
    with pytest.raises(StorageError, match=r"Cannot list .*Not a directory"):
        LocalFiles(tmp_path).list_names("trials")


def test_storage_errors_travel_from_workers():
    error = pickle.loads(pickle.dumps(StorageError("Cannot write a: full. Free some space.")))
    assert str(error) == "Cannot write a: full. Free some space."


def test_file_systems_that_cannot_flush_a_folder(tmp_path, monkeypatch):
    real, calls = os.fsync, []

    def files_only(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    LocalFiles(tmp_path).write("a", b"1")
    assert len(calls) == 2


def test_sweeping_takes_old_temporary_files_only(tmp_path):
    old = [tmp_path / ".a.parquet.host.cluster.1.0.tmp", tmp_path / f".a.parquet.{'0f' * 16}.tmp"]
    others = [tmp_path / ".gitignore", tmp_path / ".notes.tmp", tmp_path / ".a.b.tmp", tmp_path / "a.host.1.0.tmp"]
    young = tmp_path / f".b.{'0f' * 16}.tmp"
    for path in (*old, young, *others):
        path.touch()
    long_ago = time.time() - 100
    for path in (*old, *others):
        os.utime(path, (long_ago, long_ago))
    assert LocalFiles(tmp_path).sweep_abandoned("", age=50.0) == 2
    assert sorted(tmp_path.iterdir()) == sorted([young, *others])


def test_temporary_names_are_random_and_nobody_elses_is_deleted(tmp_path, monkeypatch):
    tokens = iter(["1f" * 16, "2f" * 16, "1f" * 16])
    monkeypatch.setattr(module.secrets, "token_hex", lambda size: next(tokens)[: 2 * size])
    place, seen = LocalFiles(tmp_path), []
    real = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (seen.append(self.name), real(self, target))[1])
    place.write("a", b"1")
    place.write("a", b"2")
    assert seen == [f".a.{'1f' * 16}.tmp", f".a.{'2f' * 16}.tmp"]
    others = tmp_path / f".a.{'1f' * 16}.tmp"  # the same host, process and token: another container's
    others.write_bytes(b"half of another's")
    with pytest.raises(StorageError, match="A file is in the way"):
        place.write("a", b"3")
    assert others.read_bytes() == b"half of another's"
    assert place.read("a") == b"2"


def test_many_writers_of_one_file(tmp_path):
    place = LocalFiles(tmp_path)
    contents = [bytes([65 + i]) * 50_000 for i in range(8)]
    writers = [
        threading.Thread(target=lambda data=data: [place.write("a", data) for _ in range(10)]) for data in contents
    ]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        data = place.read("a")
        if data is not None:
            seen.add(data)
    for writer in writers:
        writer.join()
    assert seen <= set(contents)
    assert everything(tmp_path) == ["a"]


KILLED = """
import sys
from pathlib import Path
from equistudy.results.files import LocalFiles
place = LocalFiles(Path(sys.argv[1]))
print("ready", flush=True)
count = 0
while True:
    count += 1
    place.write(f"file{count % 3}", (str(count % 10) * 1_000_000).encode())
"""


def test_killed_writers_leave_whole_files(tmp_path):
    place = LocalFiles(tmp_path)
    for delay in (0.0, 0.003, 0.007, 0.012, 0.02):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)],
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for name in place.list_names(""):
            data = place.read(name)
            assert len(data) == 1_000_000
            assert len(set(data)) == 1


def test_remote_errors_say_what_and_where(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "OBJECT_STORES", {"local"})
    place = RemoteFiles(f"file://{tmp_path}/no_bucket")
    with pytest.raises(StorageError, match=r"Cannot write trials/a of file://.*no_bucket: .*Check the storage"):
        place.write("trials/a", b"1")


def test_the_sentence_of_a_store_ends_once(tmp_path, monkeypatch):
    def answer(*arguments):
        raise OSError("AWS Error UNKNOWN (HTTP status 507) during PutObject operation: No response body.")

    monkeypatch.setattr(os, "fsync", answer)
    with pytest.raises(StorageError, match=r"No response body\. Check the storage, then run the same command again\.$"):
        LocalFiles(tmp_path).write("trials/a", b"1")
