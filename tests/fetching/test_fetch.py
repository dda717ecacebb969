"""Datasets of a registry of the tests: fetched, found by the readers, fetched once, and never replaced."""

import gzip
import io
import multiprocessing
import pickle
import struct
import tarfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from equistudy.datasets.cifar import CIFAR10
from equistudy.datasets.dataset import Split
from equistudy.datasets.mnist import MNIST
from equistudy.datasets.qm9 import QM9
from equistudy.fetching import download
from equistudy.fetching.download import FetchError
from equistudy.fetching.fetch import DatasetRequest, fetch_dataset, format_size
from equistudy.fetching.registry import DATASETS, Unpacking

NAMES = {"train": 30, "t10k": 20}


def silent(*_: object) -> None:
    pass


def make_mnist(site):
    """The registry's entry of MNIST with four small files of this server."""
    files = []
    for part, count in NAMES.items():
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            values = (np.arange(np.prod(shape)) % 10).astype(np.uint8).reshape(shape)
            head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
            files.append(site.publish(f"{part}-{kind}-ubyte.gz", gzip.compress(head + values.tobytes())))
    return DATASETS["mnist"]._replace(files=tuple(files))


def make_cifar(site):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
            batch = {b"data": np.full((10, 3072), 7, np.uint8), b"labels": list(range(10))}
            data = pickle.dumps(batch, protocol=2)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (whole,) = DATASETS["cifar10"].files
    file = site.publish(whole.name, packed.getvalue(), unpacking=whole.unpacking)
    return DATASETS["cifar10"]._replace(files=(file,))


def test_files_are_fetched_once_and_read(site, folder):
    request = DatasetRequest(make_mnist(site), folder / "mnist")
    assert [file.name for file in request.list_missing()] == [file.name for file in request.dataset.files]
    lines = []
    fetch_dataset(request, lines.append, silent)
    assert MNIST(str(folder / "mnist")).load(Split.TEST).targets.tolist() == [k % 10 for k in range(20)]
    assert request.list_missing() == ()
    assert lines[0].startswith("train-images-idx3-ubyte.gz: ")
    assert lines[0].endswith(f"from {site.url}/train-images-idx3-ubyte.gz")
    fetch_dataset(request, lines.append, silent)
    assert len(lines) == len(site.asked) == 4


def test_only_what_is_missing_is_fetched(site, folder):
    request = DatasetRequest(make_mnist(site), folder)
    fetch_dataset(request, silent, silent)
    labels = folder / "t10k-labels-idx1-ubyte.gz"
    labels.unlink()
    images = folder / "t10k-images-idx3-ubyte.gz"
    (folder / "t10k-images-idx3-ubyte").write_bytes(gzip.decompress(images.read_bytes()))
    images.unlink()
    fetch_dataset(request, silent, silent)
    assert [path for path, _ in site.asked[4:]] == ["/t10k-labels-idx1-ubyte.gz"]


def test_an_archive_is_unpacked_and_removed(site, folder):
    request = DatasetRequest(make_cifar(site), folder / "cifar10")
    fetch_dataset(request, silent, silent)
    assert CIFAR10(str(folder / "cifar10")).load(Split.TEST).targets.tolist() == list(range(10))
    assert {path.name for path in (folder / "cifar10").iterdir()} == {"cifar-10-batches-py", ".fetch.lock"}


def test_an_archive_that_was_copied_there_is_unpacked_and_kept(site, folder):
    dataset = make_cifar(site)
    (folder / dataset.files[0].name).write_bytes(site.contents[f"/{dataset.files[0].name}"])
    fetch_dataset(DatasetRequest(dataset, folder), silent, silent)
    CIFAR10(str(folder)).load(Split.TRAIN)
    assert (folder / dataset.files[0].name).is_file()
    assert site.asked == []


def test_another_layout_is_there_too(site, folder):
    fetch_dataset(DatasetRequest(make_mnist(site), folder / "mnist" / "MNIST" / "raw"), silent, silent)
    assert DatasetRequest(make_mnist(site), folder / "mnist").list_missing() == ()


def test_files_of_the_user_are_never_replaced(site, folder):
    dataset = make_mnist(site)
    (folder / dataset.files[1].name).write_bytes(b"mine")
    with pytest.raises(
        FetchError, match=r"train-labels-.* must have its published checksum, but its sha256 is .* Move"
    ):
        fetch_dataset(DatasetRequest(dataset, folder), silent, silent)
    assert (folder / dataset.files[1].name).read_bytes() == b"mine"
    assert site.asked == []


def test_what_arrived_before_an_error_stays(site, folder):
    dataset = make_mnist(site)
    name = dataset.files[2].name
    content = site.contents.pop(f"/{name}")
    with pytest.raises(FetchError, match=f"Cannot download {name}"):
        fetch_dataset(DatasetRequest(dataset, folder), silent, silent)
    site.contents[f"/{name}"] = content
    fetch_dataset(DatasetRequest(dataset, folder), silent, silent)
    assert sorted(path for path, _ in site.asked) == sorted([f"/{file.name}" for file in dataset.files] + [f"/{name}"])


def test_the_mirror_is_asked_first(site, folder, monkeypatch):
    monkeypatch.setenv("EQUISTUDY_MIRROR", f"{site.url}/copies")
    dataset = make_mnist(site)
    first, *rest = dataset.files
    site.contents[f"/copies/mnist/{first.name}"] = site.contents[f"/{first.name}"]
    fetch_dataset(DatasetRequest(dataset, folder), silent, silent)
    asked = [path for path, _ in site.asked]
    assert asked[0] == f"/copies/mnist/{first.name}"
    assert asked[1:] == [path for file in rest for path in (f"/copies/mnist/{file.name}", f"/{file.name}")]


def fetch_in_process(url: str, files: tuple, folder: Path) -> None:
    fetch_dataset(DatasetRequest(DATASETS["mnist"]._replace(files=files), folder), silent, silent)


@pytest.mark.slow
def test_processes_that_fetch_at_once_fetch_once(site, folder):
    dataset = make_mnist(site)
    context = multiprocessing.get_context("spawn")
    several = [context.Process(target=fetch_in_process, args=(site.url, dataset.files, folder)) for _ in range(3)]
    for process in several:
        process.start()
    for process in several:
        process.join(60)
    assert [process.exitcode for process in several] == [0, 0, 0]
    assert sorted(path for path, _ in site.asked) == sorted(f"/{file.name}" for file in dataset.files)
    MNIST(str(folder)).load(Split.TRAIN)


def test_who_waits_is_told(site, folder):
    dataset, entered, told = make_mnist(site), threading.Event(), threading.Event()
    site.scripts[f"/{dataset.files[0].name}"] = [
        lambda handler, content: (entered.set(), told.wait(10), handler.answer(200, content))
    ]
    request = DatasetRequest(dataset, folder)
    first = threading.Thread(target=fetch_dataset, args=(request, silent, silent))
    first.start()
    assert entered.wait(10)
    lines = []

    def tell(line):
        lines.append(line)
        told.set()

    fetch_dataset(request, tell, silent)
    first.join()
    assert lines == [f"Waiting for another process that is fetching to {folder}"]


def test_files_that_the_reader_does_not_take(site, folder):
    dataset = make_cifar(site)
    (file,) = dataset.files
    broken = dataset._replace(files=(file._replace(unpacking=Unpacking("elsewhere", 10**6, 9, "cifar-10-batches-py")),))
    with pytest.raises(ValueError, match="CIFAR10 needs its data files"):
        fetch_dataset(DatasetRequest(broken, folder), silent, silent)


def test_a_folder_that_cannot_be_written(site, folder):
    (folder / "mnist").write_text("a file")
    with pytest.raises(FetchError, match=r"Cannot write to .*mnist: .* --into"):
        fetch_dataset(DatasetRequest(make_mnist(site), folder / "mnist"), silent, silent)


def test_a_part_of_a_dataset(site, folder):
    dataset = make_mnist(site)
    request = DatasetRequest(dataset, folder, frozenset({"t10k-labels-idx1-ubyte"}))
    fetch_dataset(request, silent, silent)
    assert [path for path, _ in site.asked] == ["/t10k-labels-idx1-ubyte.gz"]
    assert request.list_missing() == ()


def test_sizes_are_told():
    assert [format_size(size) for size in (None, 999, 4_542, 9_912_422, 6_421_353_462)] == [
        "unknown size",
        "999 bytes",
        "4.5 kB",
        "9.9 MB",
        "6.4 GB",
    ]


def pack(names: dict[str, bytes], mode: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


MOLECULE = b"1\ngdb 1 " + b"0.5 " * 16 + b"\nC 0.0 0.0 0.0 0.1\n0\nC C\nInChI\n"
ARCHIVES = {
    "cifar100": pack({f"cifar-100-python/{name}": b"" for name in ("meta", "test", "train")}, "w:gz"),
    "flowers102": pack({f"jpg/image_{number:05d}.jpg": b"" for number in (1, 2)}, "w:gz"),
    "qm9": pack({f"dsgdb9nsd_{number:06d}.xyz": MOLECULE for number in (1, 2)}, "w:bz2"),
}


@pytest.mark.parametrize("name", DATASETS)
def test_every_reader_finds_its_files_where_they_are_put(site, folder, name):
    """The names and folders of each entry, with small contents: `fetch_dataset` asks the reader at its end."""
    dataset = DATASETS[name]
    files = []
    for file in dataset.files:
        content = ARCHIVES.get(name, b"") if file.unpacking and name != "cifar10" else b"small"
        if name == "cifar10":
            content = make_cifar(site).files[0] and site.contents[f"/{file.name}"]
        files.append(site.publish(file.name, content, unpacking=file.unpacking))
    fetch_dataset(DatasetRequest(dataset._replace(files=tuple(files)), folder / name), silent, silent)
    assert DatasetRequest(dataset, folder / name).list_missing() == ()
    expected = {(file.unpacking.folder if file.unpacking else file.name) for file in dataset.files}
    assert {path.name for path in (folder / name).iterdir()} == expected | {".fetch.lock"}


def test_molecules_are_read_as_they_are_unpacked(site, folder):
    (whole,) = DATASETS["qm9"].files
    file = site.publish(whole.name, ARCHIVES["qm9"], unpacking=whole.unpacking)
    fetch_dataset(DatasetRequest(DATASETS["qm9"]._replace(files=(file,)), folder), silent, silent)
    assert [path.name for path in QM9(folder=str(folder)).files()] == ["dsgdb9nsd_000001.xyz", "dsgdb9nsd_000002.xyz"]


def test_a_process_that_is_killed_leaves_the_lock_and_a_part(site, folder):
    """Its beginning is used, and what it was unpacking is removed."""
    dataset, entered = make_cifar(site), threading.Event()
    (file,) = dataset.files

    def stalls(handler, content):
        handler.answer(200, content[: len(content) // 2], length=len(content))
        entered.set()
        with suppress(OSError):
            handler.rfile.read(1)

    site.scripts[f"/{file.name}"] = [stalls]
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=fetch_cifar_in_process, args=((file,), folder, 16))
    process.start()
    assert entered.wait(60)
    part = folder / f".{file.name}.part"
    deadline = time.monotonic() + 30
    while not (part.is_file() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join()
    assert 0 < part.stat().st_size < file.size
    (folder / ".unpacking-killed").mkdir()
    (folder / ".unpacking-killed" / "half").touch()
    fetch_dataset(DatasetRequest(dataset, folder), silent, silent)
    assert site.asked[-1][1] is not None, "the rest alone is asked for"
    assert {path.name for path in folder.iterdir()} == {"cifar-10-batches-py", ".fetch.lock"}


def fetch_cifar_in_process(files: tuple, folder: Path, piece_bytes: int) -> None:
    download.PIECE_BYTES = piece_bytes
    fetch_dataset(DatasetRequest(DATASETS["cifar10"]._replace(files=files), folder), silent, silent)
