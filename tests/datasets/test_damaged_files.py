"""Whatever happens to a file of a dataset, its reader says so in a sentence that names the file."""

import dataclasses
import gzip
import pickle
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat

from equistudy.datasets.camvid import CamVid
from equistudy.datasets.cifar import CIFAR10, CIFAR100
from equistudy.datasets.dataset import Dataset, Split
from equistudy.datasets.flowers import Flowers102
from equistudy.datasets.image_folder import ImageFolder
from equistudy.datasets.mnist import MNIST
from equistudy.datasets.olivetti import Olivetti
from equistudy.datasets.parquet_images import ParquetImages
from equistudy.datasets.patch_camelyon import PatchCamelyon
from equistudy.datasets.photographs import Photographs
from equistudy.datasets.qm7 import QM7
from equistudy.datasets.qm9 import QM9
from equistudy.datasets.rotated_mnist import RotatedMNIST
from equistudy.datasets.sprites import MarioIggy

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest) -> None:
    """The same damage in every run, whichever tests ran before."""
    RNG.bit_generator.state = np.random.default_rng(zlib.crc32(request.node.name.encode())).bit_generator.state


def picture(path: Path, height: int = 9, width: int = 9, most: int = 255, channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width) if channels == 1 else (height, width, channels)
    Image.fromarray(RNG.integers(0, most, shape, dtype=np.uint8, endpoint=True)).save(path)


def write_mnist(root: Path, pack: Callable[[bytes], bytes] = lambda data: data, suffix: str = "") -> Dataset:
    for name in MNIST.layouts[0].names:
        shape = (12, 28, 28) if "images" in name else (12,)
        values = RNG.integers(0, 10, shape, dtype=np.uint8)
        header = struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)
        (root / f"{name}{suffix}").write_bytes(pack(header + values.tobytes()))
    return MNIST(str(root))


def write_gzipped_mnist(root: Path) -> Dataset:
    return write_mnist(root, gzip.compress, ".gz")


def write_cifar_pickles(root: Path) -> Dataset:
    for name in CIFAR10.layouts[0].names:
        data = RNG.integers(0, 256, (4, 3072), dtype=np.uint8)
        (root / name).write_bytes(pickle.dumps({"data": data, "labels": [1, 2, 3, 4]}, protocol=2))
    return CIFAR10(str(root))


def write_cifar_binary(root: Path) -> Dataset:
    for name in CIFAR100.layouts[1].names:
        rows = RNG.integers(0, 100, (4, 3074), dtype=np.uint8)
        (root / name).write_bytes(rows.tobytes())
    return CIFAR100(str(root))


def write_flowers(root: Path) -> Dataset:
    for number in range(1, 7):
        picture(root / "jpg" / f"image_{number:05d}.jpg")
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 2, 3, 1, 2, 3]], dtype=np.uint8)})
    savemat(root / "setid.mat", {"trnid": [[1]], "valid": [[2]], "tstid": [[3, 4, 5, 6]]})
    return Flowers102(str(root), 8)


def write_pcam(root: Path) -> Dataset:
    for names in (PatchCamelyon.layouts[0].train, PatchCamelyon.layouts[0].test):
        patches = RNG.integers(0, 256, (6, 96, 96, 3), dtype=np.uint8)
        for name, key, values in zip(names, "xy", (patches, RNG.integers(0, 2, (6, 1, 1, 1))), strict=True):
            with h5py.File(root / name, "w") as file:
                file.create_dataset(key, data=values, compression="gzip", chunks=(2, *values.shape[1:]))
    return PatchCamelyon(str(root))


def write_rotated_mnist(root: Path) -> Dataset:
    for name in RotatedMNIST.layouts[0].names:
        rows = np.hstack([RNG.random((5, 784)), RNG.integers(0, 10, (5, 1))])
        np.savetxt(root / name, rows, fmt="%.6g")
    return RotatedMNIST(str(root))


def write_camvid(root: Path) -> Dataset:
    for split in ("train", "test"):
        picture(root / split / "a.png", 360, 480)
        picture(root / f"{split}annot" / "a.png", 360, 480, 11, 1)
        (root / f"{split}.txt").write_text(f"{split}/a.png {split}annot/a.png\n")
    return CamVid(str(root), height=36)


def write_qm9_text(root: Path) -> Dataset:
    for number in range(4):
        atoms = ["C\t0.0\t1.0*^-3\t0.0\t-0.5", "H\t1.1\t0.0\t0.0\t0.1"]
        numbers = "\t".join(f"{value:.4f}" for value in RNG.normal(size=15))
        lines = ["2", f"gdb {number}\t{numbers}", *atoms, "1.0", "C", "x"]
        (root / f"dsgdb9nsd_{number:06d}.xyz").write_text("\n".join(lines))
    return QM9(str(root))


def write_qm9_arrays(root: Path) -> Dataset:
    for split in ("train", "test"):
        arrays = {"num_atoms": np.array([2, 1]), "charges": np.array([[6, 1], [8, 0]]), "homo": np.array([-0.3, -0.2])}
        np.savez_compressed(root / f"{split}.npz", positions=RNG.normal(size=(2, 2, 3)), **arrays)
    return QM9(str(root))


def write_qm7(root: Path) -> Dataset:
    positions = RNG.normal(size=(5, 3))
    np.savez(root / "qm7.npz", n_atoms=[3, 2], z=[8, 1, 1, 1, 1], pos=positions, energy=[[-3.0, 1.0], [-2.0, 1.0]])
    return QM7(str(root))


def write_olivetti(root: Path) -> Dataset:
    faces = RNG.integers(0, 256, (4096, 400), dtype=np.uint8)
    savemat(root / "olivettifaces.mat", {"faces": faces}, do_compression=True)
    return Olivetti(str(root))


def write_sprites(root: Path) -> Dataset:
    np.savez(root / "images.npz", mario=RNG.random((1, 3, 32, 32)), iggy=RNG.random((1, 3, 32, 32)))
    return MarioIggy(str(root))


def write_parquet(root: Path) -> Dataset:
    picture(root / "a.png")
    rows = [{"bytes": (root / "a.png").read_bytes(), "path": f"{number}.png"} for number in range(8)]
    (root / "a.png").unlink()
    for name in ("train-0", "test-0"):
        table = pa.table({"image": rows, "label": [0, 1] * 4})
        pq.write_table(table, root / f"{name}.parquet", row_group_size=3)
    return ParquetImages(str(root), 8)


def write_folder(root: Path) -> Dataset:
    for number in range(20):
        picture(root / ("train", "val")[number % 2] / "ab"[number // 2 % 2] / f"{number}.png")
    return ImageFolder(str(root), 8)


WRITERS = [
    write_mnist,
    write_gzipped_mnist,
    write_cifar_pickles,
    write_cifar_binary,
    write_flowers,
    write_pcam,
    write_rotated_mnist,
    write_camvid,
    write_qm9_text,
    write_qm9_arrays,
    write_qm7,
    write_olivetti,
    write_sprites,
    write_parquet,
    write_folder,
]


def flip(data: bytes) -> bytes:
    damaged = bytearray(data)
    for place in RNG.integers(0, len(data), max(1, len(data) // 50)):
        damaged[place] ^= int(RNG.integers(1, 256))
    return bytes(damaged)


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "empty": lambda data: b"",
    "cut in half": lambda data: data[: len(data) // 2],
    "cut at the end": lambda data: data[:-3],
    "flipped bytes": flip,
    "flipped head": lambda data: flip(data[:64]) + data[64:],
    "zeros": lambda data: b"\0" * len(data),
    "text that is not UTF-8": lambda data: b"caf\xe9\n\xff\xfe",
    "a web page": lambda data: b"<!DOCTYPE html><html>Not found</html>",
    "an archive that is none": lambda data: b"PK\x03\x04" + data,
    "a gzip that is none": lambda data: b"\x1f\x8b\x08" + data,
    "a folder": lambda data: None,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__.removeprefix("write_"))
def test_every_damage_is_told_with_the_name_of_the_file(tmp_path: Path, write, damage: str) -> None:
    (whole := tmp_path / "whole").mkdir()
    sample = write(whole)
    place = "path" if isinstance(sample, Photographs) else "folder"
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    for number, name in enumerate(files[:12]):
        root = tmp_path / str(number)
        shutil.copytree(whole, root)
        data = DAMAGES[damage]((root / name).read_bytes())
        (root / name).unlink()
        if data is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(data)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            told = _read_all(dataclasses.replace(sample, **{place: str(root)}))
        told += [str(warning.message) for warning in caught]
        images = "images of" if isinstance(sample, ParquetImages) else name.name.removesuffix(".gz")
        assert not told or any(name.name in text or images in text for text in told), (name, told)


def _read_all(dataset: Dataset) -> list[str]:
    """What is said in place of the data; nothing where it can be read all the same."""
    told = []
    for read in (dataset.fingerprint, lambda: dataset.load(Split.TEST), lambda: dataset.load(Split.TRAIN)):
        try:
            read()
        except ValueError as error:
            told.append(str(error))
    return told
