"""What every dataset must keep: shapes, types, order, balanced subsets."""

import dataclasses
import pickle
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from equistudy.datasets.cifar import CIFAR10, CIFAR100
from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.mnist import MNIST, FashionMNIST
from equistudy.datasets.patch_camelyon import PatchCamelyon
from equistudy.spec import format_label, to_canonical_json, to_plain_data

COUNTS = {Split.TRAIN: 400, Split.TEST: 100}


def write_mnist(folder: Path) -> None:
    for name, count in (("train", 400), ("t10k", 100)):
        images = np.arange(count * 784, dtype=np.uint32).astype(np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes()
        )
        labels = (np.arange(count) ** 2 % 10).astype(np.uint8)
        labels[:10] = np.arange(10)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels.tobytes())


def write_cifar(folder: Path, kind: type[CIFAR10]) -> None:
    layout = kind.layouts[1]
    (folder / layout.folder).mkdir()
    for names, count in ((layout.train, 400), (layout.test, 100)):
        each = count // len(names)
        for name in names:
            rows = [bytes([k % kind.num_classes] * kind.label_bytes) + bytes([k % 256]) * 3072 for k in range(each)]
            (folder / layout.folder / name).write_bytes(b"".join(rows))


def write_patches(folder: Path) -> None:
    layout = PatchCamelyon.layouts[0]
    for (patches, labels), count in ((layout.train, 400), (layout.test, 100)):
        with h5py.File(folder / patches, "w") as file:
            each = np.arange(count, dtype=np.uint32).astype(np.uint8)[:, None, None, None]
            file.create_dataset("x", data=np.broadcast_to(each, (count, 96, 96, 3)), compression="gzip")
        with h5py.File(folder / labels, "w") as file:
            file["y"] = (np.arange(count) % 2).astype(np.uint8).reshape(count, 1, 1, 1)


WRITE = {
    MNIST: write_mnist,
    FashionMNIST: write_mnist,
    CIFAR10: lambda folder: write_cifar(folder, CIFAR10),
    CIFAR100: lambda folder: write_cifar(folder, CIFAR100),
    PatchCamelyon: write_patches,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {kind: tmp_path_factory.mktemp(kind.__name__) for kind in WRITE}
    for kind, folder in made.items():
        WRITE[kind](folder)
    return made


@pytest.fixture(params=[Digits, *WRITE], ids=lambda kind: kind.__name__)
def dataset(request, folders):
    kind = request.param
    return kind(str(folders[kind])) if kind in folders else kind()


@pytest.mark.parametrize("split", Split)
def test_examples(dataset, split):
    images, targets = dataset.load(split)
    assert images.dtype == torch.uint8
    assert images.shape[1:] == dataset.image_shape
    assert images.is_contiguous()
    assert targets.dtype == torch.int64
    assert 0 <= targets.min() <= targets.max() < dataset.num_classes
    again = dataset.load(split)
    assert torch.equal(again.inputs, images)
    assert torch.equal(again.targets, targets)


def test_description(dataset):
    channels = dataset.image_shape[0]
    assert len(dataset.mean) == len(dataset.std) == channels
    assert all(0 < mean < 1 for mean in dataset.mean)
    assert all(std > 0 for std in dataset.std)
    assert dataset.background in (None, 0.0)


def test_place_is_no_identity(dataset):
    moved = dataset.with_absolute_paths()
    assert to_canonical_json(moved) == to_canonical_json(dataset)
    assert format_label(moved) == format_label(dataset) == type(dataset).__name__
    assert moved.fingerprint() == dataset.fingerprint()
    assert pickle.loads(pickle.dumps(moved)) == moved


def test_subsets_are_nested_and_balanced(dataset):
    whole = dataset.load(Split.TRAIN)
    sizes = [dataset.num_classes, 150, 300, len(whole.targets)]
    previous = set()
    for size in sizes:
        images, targets = dataclasses.replace(dataset, train_size=size).load(Split.TRAIN)
        assert len(images) == len(targets) == size
        share = whole.targets.bincount(minlength=dataset.num_classes) * size / len(whole.targets)
        assert ((targets.bincount(minlength=dataset.num_classes) - share).abs() <= 1).all()
        rows = {
            (target, *image)
            for target, image in zip(targets.tolist(), images[:, 0, ::4, ::4].flatten(1).tolist(), strict=True)
        }
        assert previous <= rows
        previous = rows
    assert torch.equal(
        dataclasses.replace(dataset, train_size=150).load(Split.TEST).inputs, dataset.load(Split.TEST).inputs
    )


def test_fewer_test_examples_are_a_balanced_part(dataset):
    size = dataset.num_classes
    images, targets = dataclasses.replace(dataset, test_size=size).load(Split.TEST)
    assert len(images) == len(targets) == size
    assert targets.bincount(minlength=size).max() <= 2
    with pytest.raises(ValueError, match=r"test_size must lie between.*got test_size=1\. Use at least \d"):
        dataclasses.replace(dataset, test_size=1)
    with pytest.raises(ValueError, match=r"got test_size=99999\. Use \d"):
        dataclasses.replace(dataset, test_size=99_999).load(Split.TEST)


def test_fields_that_were_added_leave_the_identity_as_it_was(dataset):
    fields = {"train_size", "canvas", "digit"} & {field.name for field in dataclasses.fields(dataset)}
    assert to_plain_data(dataset).keys() == {"spec", "revision", *fields}


@pytest.mark.parametrize("size", [14, 33])
def test_another_size(dataset, size):
    if isinstance(dataset, Digits):
        with pytest.raises(TypeError, match="size"):
            Digits(size=size)
        return
    resized = dataclasses.replace(dataset, size=size)
    assert resized.image_shape == (dataset.image_shape[0], size, size)
    assert resized.load(Split.TEST).inputs.shape[1:] == resized.image_shape
    assert resized.fingerprint() == dataset.fingerprint()
    assert to_canonical_json(resized) != to_canonical_json(dataset)
    with pytest.raises(ValueError, match=r"must be at least 1 pixel, got size=0\. Use None for the original"):
        dataclasses.replace(dataset, size=0)


def test_subsets_have_their_own_identity(dataset):
    part = dataclasses.replace(dataset, train_size=200)
    assert to_canonical_json(part) != to_canonical_json(dataset)
    assert part.fingerprint() == dataset.fingerprint()
    assert format_label(part) == f"{type(dataset).__name__}(train_size=200)"
