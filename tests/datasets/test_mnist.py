"""The IDX files: the real ones where they are, small ones written here, and damaged ones.

IDX files, whole and damaged.
"""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from equistudy.datasets.dataset import Split
from equistudy.datasets.mnist import MNIST, FashionMNIST, read_idx

REAL = Path(__file__).parents[2].parent / "shared" / "data"
TRAIN, TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"
TRAIN_LABELS, TEST_LABELS = "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    for images, labels, count in ((TRAIN, TRAIN_LABELS, 40), (TEST, TEST_LABELS, 20)):
        (tmp_path / images).write_bytes(idx(rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)))
        (tmp_path / labels).write_bytes(idx((np.arange(count) % 10).astype(np.uint8)))
    return tmp_path


@pytest.mark.parametrize(("kind", "folder"), [(MNIST, "mnist"), (FashionMNIST, "fashion-mnist")])
def test_real_files(kind, folder):
    if not (REAL / folder).is_dir():
        pytest.skip(f"the original files of {folder} are not beside the checkout")
    train, test = (kind(str(REAL / folder)).load(split) for split in Split)
    assert train.inputs.shape == (60_000, 1, 28, 28)
    assert test.targets.shape == (10_000,)
    if kind is MNIST:
        # counts of the digits as published by the authors
        assert train.targets.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    else:
        assert train.targets.bincount().tolist() == [6000] * 10
    values, counts = torch.arange(256).double() / 255, train.inputs.flatten().bincount(minlength=256).double()
    mean = (values * counts).sum() / counts.sum()
    std = ((values - mean) ** 2 * counts).sum().div(counts.sum()).sqrt()
    assert (mean.item(), std.item()) == pytest.approx((kind.mean[0], kind.std[0]), abs=6e-5)


def test_images_and_labels_in_order(written):
    test = MNIST(str(written)).load(Split.TEST)
    raw = (written / TEST).read_bytes()[16:]
    assert test.inputs.flatten().tolist() == list(raw)
    assert test.targets.tolist() == [k % 10 for k in range(20)]


def test_gzipped_or_not_is_one_identity(written, tmp_path_factory):
    gzipped = tmp_path_factory.mktemp("gzipped") / "MNIST" / "raw"
    gzipped.mkdir(parents=True)
    for path in written.iterdir():
        (gzipped / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    plain, packed = MNIST(str(written)), MNIST(str(gzipped.parents[1]))
    assert plain.fingerprint() == packed.fingerprint() == MNIST(str(gzipped)).fingerprint()
    assert torch.equal(plain.load(Split.TRAIN).inputs, packed.load(Split.TRAIN).inputs)


def test_one_changed_pixel_is_another_identity(written):
    before = MNIST(str(written)).fingerprint()
    raw = bytearray((written / TEST).read_bytes())
    raw[100] ^= 1
    (written / TEST).write_bytes(bytes(raw))
    os.utime(written / TEST, ns=(1, 1))
    assert MNIST(str(written)).fingerprint() != before


def test_fingerprint_is_read_once(written, monkeypatch):
    reads = []
    original = MNIST.read
    monkeypatch.setattr(MNIST, "read", lambda self, split: reads.append(split) or original(self, split))
    for _ in range(3):
        MNIST(str(written)).fingerprint()
        MNIST(str(written), train_size=20).fingerprint()
    assert len(reads) == 2


def damaged(path: Path, data: bytes) -> MNIST:
    path.write_bytes(data)
    return MNIST(str(path.parent))


def test_damaged_files_are_named(written):
    def expect(data, message, name=TEST):
        before = (written / name).read_bytes()
        with pytest.raises(ValueError, match=message) as raised:
            damaged(written / name, data).load(Split.TEST)
        assert name in str(raised.value)
        (written / name).write_bytes(before)

    good, labels = (written / TEST).read_bytes(), (written / TEST_LABELS).read_bytes()
    expect(good[:-5], r"must hold 15680 values, got 15675 in .*Copy it again")
    expect(good + b"x", r"got 15681")
    expect(labels, r"must start with 00 00 08 03, got 00 00 08 01.*original file")
    expect(idx(np.zeros((20, 27, 28), dtype=np.uint8)), r"images of 28 x 28 pixels, got 27 x 28")
    expect(idx(np.zeros((19, 28, 28), dtype=np.uint8)), r"one label, got 19 images in .* and 20 labels")
    expect(idx(np.full(20, 10, dtype=np.uint8)), r"Labels must lie in 0 to 9, got 10 at position 0", TEST_LABELS)


def test_empty_split(written):
    (written / TEST).write_bytes(idx(np.zeros((0, 28, 28), dtype=np.uint8)))
    (written / TEST_LABELS).write_bytes(idx(np.zeros(0, dtype=np.uint8)))
    with pytest.raises(ValueError, match=r"at least one example, got none in .*t10k-labels"):
        MNIST(str(written)).load(Split.TEST)


def test_train_size_beyond_the_files(written):
    with pytest.raises(ValueError, match=r"MNIST.train_size.*got train_size=41\. Use 10 to 40, or None"):
        MNIST(str(written), train_size=41).load(Split.TRAIN)
    with pytest.raises(ValueError, match=r"Use 10 to 40"):
        MNIST(str(written), train_size=41).fingerprint()
    with pytest.raises(ValueError, match=r"got train_size=9\. Use 10 to 60000"):
        MNIST(train_size=9)


GOOD = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + bytes(range(24))


@pytest.mark.parametrize("data", [GOOD, gzip.compress(GOOD)], ids=["plain", "gzipped"])
def test_reads(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    values = read_idx(tmp_path / "file", 3)
    assert values.dtype == np.uint8
    assert values.shape == (2, 3, 4)
    assert values[1, 2, 3] == 23
    assert values[0, 1, 0] == 4


DAMAGED = {
    "empty": (b"", r"3 axes must start with 00 00 08 03, got nothing in .*file\. Check that it is the original"),
    "a page": (b"<html>", r"got 3c 68 74 6d in .*file"),
    "other axes": (b"\0\0\x08\x01" + GOOD[4:], r"got 00 00 08 01"),
    "other type": (b"\0\0\x0d\x03" + GOOD[4:], r"got 00 00 0d 03"),
    "short header": (GOOD[:10], r"header must have 16 bytes, got 10 in .*file\. Copy it again"),
    "truncated": (GOOD[:-1], r"shape \(2, 3, 4\) must hold 24 values, got 23 in .*file\. Copy it again"),
    "too long": (GOOD + b"x", r"got 25"),
    "truncated gzip": (
        gzip.compress(GOOD)[:-9],
        r"Cannot decompress .*file, which is damaged or truncated: .*Copy it again",
    ),
    "broken gzip": (gzip.compress(GOOD)[:12] + b"\xff" * 30, r"Cannot decompress"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_idx_files_are_named(tmp_path, data, message):
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "file", 3)
