"""CIFAR's two formats give the same examples; damaged files are refused by name."""

import pickle
import struct

import numpy as np
import pytest
import torch

from equistudy.datasets.cifar import CIFAR10, CIFAR100
from equistudy.datasets.dataset import Split

PER_FILE = 4


def python2_pickle(entries: dict[bytes, object]) -> bytes:
    """The bytes that Python 2 wrote for the original archives: protocol 2, byte strings, numpy's old module."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def array(values):
        rows, columns = values.shape
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
            + b"K" + bytes([rows]) + b"M" + struct.pack("<H", columns) + b"\x86"
            + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            + b"T" + struct.pack("<I", values.size) + values.tobytes() + b"tb"
        )  # fmt: skip

    def value(item):
        if isinstance(item, np.ndarray):
            return array(item)
        return (
            b"](" + b"".join(b"K" + bytes([label]) for label in item) + b"e" if isinstance(item, list) else text(item)
        )

    return b"\x80\x02}(" + b"".join(text(key) + value(item) for key, item in entries.items()) + b"u."


def examples(seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (PER_FILE, 3072), dtype=np.uint8), (rng.permutation(10)[:PER_FILE]).tolist()


def write(folder, kind, form):
    fine = kind is CIFAR100
    layout = kind.layouts[form == "binary"]
    inside = folder / layout.folder
    inside.mkdir(parents=True)
    for seed, name in enumerate(layout.names):
        data, labels = examples(seed)
        labels = [label + 90 for label in labels] if fine else labels
        if form == "binary":
            coarse = [b"\x07"] * PER_FILE if fine else [b""] * PER_FILE
            rows = [c + bytes([y]) + x.tobytes() for c, y, x in zip(coarse, labels, data, strict=True)]
            (inside / name).write_bytes(b"".join(rows))
            continue
        key = "fine_labels" if fine else "labels"
        entries = {"batch_label": b"batch", "data": data, key: labels, "coarse_labels": [7] * PER_FILE}
        if form == "python 2":
            packed = python2_pickle({name.encode(): value for name, value in entries.items()})
        else:
            packed = pickle.dumps(entries, protocol=form)
        (inside / name).write_bytes(packed)
    return kind(str(folder))


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
def test_all_formats_are_one_dataset(kind, tmp_path):
    forms = ["python 2", "binary", 0, 2, 4, 5]
    sets = [write(tmp_path / str(form), kind, form) for form in forms]
    assert len({dataset.fingerprint() for dataset in sets}) == 1
    for dataset in sets:
        train, test = dataset.load(Split.TRAIN), dataset.load(Split.TEST)
        count = len(kind.layouts[0].train)
        assert train.inputs.shape == (count * PER_FILE, 3, 32, 32)
        data, labels = examples(count)
        assert test.inputs[1, 2, 3, 4] == data[1, 2 * 1024 + 3 * 32 + 4]
        assert test.targets.tolist() == [label + (90 if kind is CIFAR100 else 0) for label in labels]


def test_the_folder_of_the_archive_itself(tmp_path):
    dataset = write(tmp_path, CIFAR10, "python 2")
    assert CIFAR10(str(tmp_path / "cifar-10-batches-py")).fingerprint() == dataset.fingerprint()


def test_damaged_pickles_are_named(tmp_path):
    dataset = write(tmp_path, CIFAR10, 4)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    whole = path.read_bytes()
    data, labels = examples(2)

    def expect(content, message):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message) as raised:
            dataset.load(Split.TRAIN)
        assert str(path) in str(raised.value)

    expect(whole[:-2000], r"complete pickle of plain data")
    expect(pickle.dumps([1]), r"must be a dict with the array data and the list labels, got list with no entries")
    expect(pickle.dumps({"data": data, "fine_labels": labels}), r"got dict with data, fine_labels")
    expect(pickle.dumps({"data": data[:2], "labels": labels}), r"got 4 labels and data of shape \(2, 3072\)")
    expect(pickle.dumps({"data": data, "labels": [0, 1, 2, "3"]}), r"label must be an integer")
    expect(pickle.dumps({"data": data, "labels": [0, 1, 2, 2**80]}), r"label must be an integer")
    expect(pickle.dumps({"data": data.astype(float), "labels": labels}), r"array of 'f8' instead of unsigned bytes")
    expect(pickle.dumps({"data": data, "labels": [0, 1, 11, 3]}), r"lie in 0 to 9, got 11 at position 2")
    expect(pickle.dumps({"data": data, "labels": [0, -1, 1, 3]}), r"got -1 at position 1")


def test_damaged_binaries_are_named(tmp_path):
    dataset = write(tmp_path, CIFAR100, "binary")
    path = tmp_path / "cifar-100-binary" / "test.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"CIFAR100 must have 3074 bytes per image, got 12295 bytes in .*test\.bin"):
        dataset.load(Split.TEST)
    path.write_bytes(b"\x00\x64" + whole[2:])
    with pytest.raises(ValueError, match=r"lie in 0 to 99, got 100 at position 0 of .*test\.bin"):
        dataset.load(Split.TEST)


def test_missing(tmp_path):
    with pytest.raises(
        ValueError, match=r"(?s)data_batch_1, .*cifar-10-python.tar.gz\) or data_batch_1.bin.*binary.tar"
    ):
        CIFAR10(str(tmp_path)).fingerprint()
    dataset = write(tmp_path, CIFAR10, "binary")
    (tmp_path / "cifar-10-batches-bin" / "data_batch_4.bin").unlink()
    with pytest.raises(ValueError, match=r"got .*cifar-10-batches-bin without data_batch_4\.bin\. Put the files"):
        dataset.fingerprint()


def test_fortran_order(tmp_path):
    dataset = write(tmp_path, CIFAR10, 2)
    data, labels = examples(5)
    packed = pickle.dumps({"data": np.asfortranarray(data), "labels": labels}, protocol=2)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(packed)
    assert torch.equal(dataset.load(Split.TEST).inputs.flatten(1), torch.from_numpy(data))
