"""What lies at the place that `--data` names, and which of a network's classes its images show."""

import dataclasses
import pickle
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat

from equistudy.cli.data import match_outputs, parse_dataset
from equistudy.datasets.cifar import CIFAR10, CIFAR100
from equistudy.datasets.class_lists import read_class_order
from equistudy.datasets.dataset import Split
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.digits import Digits
from equistudy.datasets.flowers import Flowers102
from equistudy.datasets.image_folder import ImageFolder
from equistudy.datasets.mnist import MNIST, FashionMNIST
from equistudy.datasets.parquet_images import ParquetImages


def silent(line: str) -> None:
    pytest.fail(f"told: {line}")


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 12)).save(path)


def test_generated_images() -> None:
    assert parse_dataset("dead-leaves", None, 38, False, silent) == DeadLeaves(size=38, test_images=128)
    assert parse_dataset("dead-leaves", 7, 38, False, silent) == DeadLeaves(size=38, test_images=7)
    with pytest.raises(ValueError, match=r"an image folder.* or dead-leaves, got 'dead_leaves', which does not exist"):
        parse_dataset("dead_leaves", None, 38, False, silent)


def test_folders_and_parquet_files(tmp_path: Path) -> None:
    flat, parquet = tmp_path / "flat", tmp_path / "parquet"
    for number in range(3):
        picture(flat / f"{number}.png")
    parquet.mkdir()
    pq.write_table(pa.table({"image": [{"bytes": b"", "path": None}] * 4}), parquet / "a.parquet")
    (parquet / "._a.parquet").touch()
    assert parse_dataset(str(flat), None, 38, True, silent) == ImageFolder(str(flat), 38, test_size=3)
    for place in (parquet, parquet / "a.parquet"):
        found = parse_dataset(str(place), 2, 38, False, silent)
        assert found == ParquetImages(str(place), 38, test_size=2, labels=False)


def test_training_images_alone_are_measured_and_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / "Train" / name / "1.png")
    told: list[str] = []
    found = parse_dataset(str(tmp_path), None, 8, True, told.append)
    assert found == ImageFolder(str(tmp_path / "Train"), 8, test_size=2)
    assert found.load(Split.TEST).targets.tolist() == [0, 1]
    assert told == [f"{tmp_path} has no test images, so those in {tmp_path / 'Train'} are measured"]


def test_published_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in CIFAR10.layouts[0].names:
        path = tmp_path / "c10" / "cifar-10-batches-py" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
        path.write_bytes(pickle.dumps({b"data": data, b"labels": [k % 10 for k in range(20)]}, protocol=2))
    for place in ("c10", "c10/cifar-10-batches-py"):
        found = parse_dataset(str(tmp_path / place), 17, 32, True, silent)
        assert found == CIFAR10(str(tmp_path / place), test_size=17)
        assert found.load(Split.TEST).inputs.shape == (17, 3, 32, 32)
        told: list[str] = []
        assert parse_dataset(str(tmp_path / place), 7, 32, True, told.append).test_size == 10  # type: ignore[attr-defined]
        assert told == ["CIFAR10 is measured on at least one image of each class: on 10 images"]
    (tmp_path / "c100").mkdir()
    for name in CIFAR100.layouts[1].names:
        (tmp_path / "c100" / name).write_bytes(rng.integers(0, 100, (130, 3074), dtype=np.uint8).tobytes())
    assert parse_dataset(str(tmp_path / "c100"), None, 32, True, silent).load(Split.TEST).inputs.shape[0] == 128
    for folder, kind in (("digits", MNIST), ("Fashion", FashionMNIST)):
        (tmp_path / folder).mkdir()
        for name in MNIST.layouts[0].names:
            shape = (9, 28, 28) if "images" in name else (9,)
            header = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
            (tmp_path / folder / name).write_bytes(header + bytes(int(np.prod(shape))))
        found = parse_dataset(str(tmp_path / folder), 15, 32, True, silent)
        assert found == kind(str(tmp_path / folder), test_size=15)
    for number in range(1, 4):
        picture(tmp_path / "flowers" / "jpg" / f"image_{number:05d}.jpg")
    savemat(tmp_path / "flowers" / "imagelabels.mat", {"labels": [[1, 2, 1]]})
    savemat(tmp_path / "flowers" / "setid.mat", {"trnid": [[1]], "valid": [[2]], "tstid": [[3]]})
    flowers = parse_dataset(str(tmp_path / "flowers"), None, 8, True, silent)
    assert flowers == Flowers102(str(tmp_path / "flowers"), 8, test_size=1, train_size=1)


WNIDS = ("n02123045", "n01440764", "n03445777")


@pytest.mark.parametrize(("outputs", "shift"), [(1000, 0), (1001, 1), (21841, None)])
def test_some_of_imagenets_classes_get_their_own_numbers(tmp_path: Path, outputs: int, shift: int | None) -> None:
    for number, wnid in enumerate(WNIDS):
        picture(tmp_path / wnid / f"{number}.png")
    told: list[str] = []
    found = match_outputs(ImageFolder(str(tmp_path), 8), outputs, None, told.append)
    names = [Path(name).parent.name for name in found.list_images(Split.TEST).names]  # type: ignore[attr-defined]
    order = read_class_order("imagenet-22k" if shift is None else "imagenet-1k")
    assert found.load(Split.TEST).targets.tolist() == [order.index(name) + (shift or 0) for name in names]
    assert found.num_classes == outputs
    assert f"matched with the {outputs} outputs by their WordNet ids (imagenet-" in told[0]


def test_numbers_of_parquet_rows_are_matched_by_the_names_of_their_classes(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"image": [{"bytes": b"", "path": None}] * 4, "label": [0, 2, 1, -1]}), tmp_path / "a.parquet"
    )
    dataset = ParquetImages(str(tmp_path), 8)
    told: list[str] = []
    assert match_outputs(dataset, 10, None, told.append) is dataset
    assert told == ["labels 0 to 2 are compared with the network's 10 outputs by number"]
    for outputs, exact in ((2, False), (10, True)):
        with pytest.raises(ValueError, match=rf"got {outputs} outputs and 3 classes of ParquetImages"):
            match_outputs(dataset, outputs, None, silent, exact)
    with pytest.raises(
        ValueError, match=r"got label 2 and 0 names for .*a\.parquet\. Add a file classes\.txt beside it"
    ):
        dataclasses.replace(dataset, classes="imagenet-1k").list_images(Split.TEST)
    (tmp_path / "classes.txt").write_text("\n".join(f"{k}\t{wnid}\tname" for k, wnid in enumerate(WNIDS)))
    found = match_outputs(dataset, 1000, None, lambda line: None)
    order = read_class_order("imagenet-1k")
    expected = tuple(order.index(WNIDS[label]) for label in (0, 2, 1))
    assert found.list_images(Split.TEST).labels == (*expected, -1)  # type: ignore[attr-defined]


def test_a_file_names_the_classes(tmp_path: Path) -> None:
    for name in ("zebra", "ant"):
        picture(tmp_path / "photos" / name / "1.png")
    (tmp_path / "classes.txt").write_text("zebra\nbee\nant\n")
    dataset = ImageFolder(str(tmp_path / "photos"), 8)
    found = match_outputs(dataset, 3, str(tmp_path / "classes.txt"), silent)
    assert found.load(Split.TEST).targets.tolist() == [2, 0]
    assert found.fingerprint() != dataset.fingerprint()
    with pytest.raises(
        ValueError, match=r"a class for each output of the network, got 3 outputs and 2 classes of Image"
    ):
        match_outputs(dataset, 3, None, silent)
    with pytest.raises(
        ValueError, match=r"got 1000 outputs and 10 classes of Digits.*--classes FILE, or one of imagen"
    ):
        match_outputs(Digits(), 1000, None, silent)
    with pytest.raises(ValueError, match=r"--classes numbers the folders of images, got Digits"):
        match_outputs(Digits(), 1000, "imagenet-1k", silent)
    unlabelled = ImageFolder(str(tmp_path / "photos"), 8, labels=False)
    assert match_outputs(unlabelled, 1000, None, silent) is unlabelled
