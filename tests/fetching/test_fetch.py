"""Datasets of a registry of the tests: fetched, found by the readers, fetched once, and never replaced."""

import gzip
import io
import multiprocessing
import pickle
import struct
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from equistudy.datasets.cifar import CIFAR10
from equistudy.datasets.dataset import Split
from equistudy.datasets.mnist import MNIST
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
    with pytest.raises(FetchError, match=r"published checksum, got .*train-labels-.*: its sha256 is .* Move it away"):
        fetch_dataset(DatasetRequest(dataset, folder), silent, silent)
    assert (folder / dataset.files[1].name).read_bytes() == b"mine"
    assert site.asked == []


def test_what_arrived_before_an_error_stays(site, folder):
    dataset = make_mnist(site)
    name = dataset.files[2].name
    content = site.contents.pop(f"/{name}")
    with pytest.raises(FetchError, match=f"no such {name}"):
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
    assert lines == [f"Another process is fetching to {folder}: waiting for it"]


def test_files_that_the_reader_does_not_take(site, folder):
    dataset = make_cifar(site)
    (file,) = dataset.files
    broken = dataset._replace(files=(file._replace(unpacking=Unpacking("elsewhere", 10**6, 9, "cifar-10-batches-py")),))
    with pytest.raises(ValueError, match="CIFAR10 needs its files"):
        fetch_dataset(DatasetRequest(broken, folder), silent, silent)


def test_a_folder_that_cannot_be_written(site, folder):
    (folder / "mnist").write_text("a file")
    with pytest.raises(FetchError, match=r"written to a folder, got .*mnist with: .* --into"):
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
