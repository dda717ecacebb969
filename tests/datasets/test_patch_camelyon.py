"""PatchCamelyon from HDF5 files that are written here."""

import gzip
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from equistudy.datasets import patch_camelyon
from equistudy.datasets.dataset import Split
from equistudy.datasets.patch_camelyon import PatchCamelyon
from equistudy.spec import to_canonical_json

FILES = PatchCamelyon.layouts[0]


def write(path: Path, name: str, values: np.ndarray, **how: object) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values, **how)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """10 training and 6 test patches; each tells its number in its pixel at row 2, column 5, in green."""
    for (patches, labels), count in ((FILES.train, 10), (FILES.test, 6)):
        values = np.zeros((count, 96, 96, 3), dtype=np.uint8)
        values[:, 2, 5, 1] = np.arange(count)
        write(tmp_path / patches, "x", values)
        write(tmp_path / labels, "y", (np.arange(count) % 2).astype(np.uint8).reshape(-1, 1, 1, 1))
    return tmp_path


def test_patches_and_labels_are_those_of_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_camelyon, "CHUNK_SIZE", 4)
    images, targets = PatchCamelyon(str(folder)).load(Split.TRAIN)
    assert images.shape == (10, 3, 96, 96)
    assert images[:, 1, 2, 5].tolist() == list(range(10))
    assert int(images.long().sum()) == sum(range(10))
    assert targets.tolist() == [0, 1] * 5
    assert PatchCamelyon(str(folder)).read(Split.TEST).images[:, 1, 2, 5].tolist() == list(range(6))


def test_a_subset_is_read_piece_by_piece_and_keeps_its_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_camelyon, "CHUNK_SIZE", 2)
    whole = PatchCamelyon(str(folder), train_size=10).load(Split.TRAIN)
    part = PatchCamelyon(str(folder), train_size=5).load(Split.TRAIN)
    numbers = whole.inputs[:, 1, 2, 5]
    assert sorted(numbers.tolist()) == list(range(10)) != numbers.tolist()
    assert torch.equal(part.inputs, whole.inputs[:5])
    assert torch.equal(part.targets, whole.targets[:5])
    assert torch.equal(whole.targets, numbers.long() % 2)


def test_the_fingerprint_is_of_the_data_and_not_of_its_compression(folder: Path) -> None:
    before = PatchCamelyon(str(folder)).fingerprint()
    with h5py.File(folder / FILES.train[0]) as file:
        values = np.asarray(file["x"])
    write(folder / FILES.train[0], "x", values, compression="gzip", chunks=(1, 96, 96, 3))
    assert PatchCamelyon(str(folder)).fingerprint() == before
    values[3, 0, 0, 0] = 1
    write(folder / FILES.train[0], "x", values)
    assert PatchCamelyon(str(folder)).fingerprint() != before


def test_the_statistics_are_those_of_the_paper_in_other_units() -> None:
    """Published for values in [-1, 1]."""
    assert [2 * mean - 1 for mean in PatchCamelyon.mean] == pytest.approx([0.3949, 0.0696, 0.3760])
    assert [2 * std for std in PatchCamelyon.std] == pytest.approx([0.4721, 0.5571, 0.4291])


def test_without_h5py_it_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r'needs h5py, which is not installed\. Run: pip install "equistudy\[hdf5'):
        PatchCamelyon(str(folder)).load(Split.TEST)


@pytest.mark.parametrize(
    ("number", "name", "values", "message"),
    [
        (0, "x", np.zeros((6, 64, 64, 3), np.uint8), "8-bit patches of 96 x 96 x 3, got uint8 of 64 x 64 x 3 in"),
        (0, "x", np.zeros((5, 96, 96, 3), np.uint8), "Each patch needs one label, got 5 patches in .* and 6 labels in"),
        (0, "images", np.zeros((6, 96, 96, 3), np.uint8), "must hold the table x, got images in"),
        (1, "y", np.zeros((6, 2), np.uint8), "Each patch needs one label, got 2 in"),
        (1, "y", np.full((6, 1, 1, 1), 2, np.uint8), "Labels must lie in 0 to 1, got 2 at position 0"),
    ],
)
def test_other_files_are_refused(folder: Path, number: int, name: str, values: np.ndarray, message: str) -> None:
    write(folder / FILES.test[number], name, values)
    with pytest.raises(ValueError, match=message):
        PatchCamelyon(str(folder)).load(Split.TEST)


def test_a_broken_file_is_refused(folder: Path) -> None:
    (folder / FILES.test[0]).write_bytes(b"no table")
    with pytest.raises(ValueError, match=r"Cannot read HDF5 file .*, which is damaged or truncated: .* Copy it again"):
        PatchCamelyon(str(folder)).load(Split.TEST)


def test_the_validation_part_takes_the_place_of_the_test_split(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"got .* without camelyonpatch_level_2_split_valid_x\.h5, .*valid_y\.h5"):
        PatchCamelyon(str(folder), validation=True).load(Split.TEST)
    values = np.zeros((4, 96, 96, 3), dtype=np.uint8)
    values[:, 2, 5, 1] = 50 + np.arange(4)
    write(folder / "camelyonpatch_level_2_split_valid_x.h5", "x", values)
    write(folder / "camelyonpatch_level_2_split_valid_y.h5", "y", np.zeros((4, 1, 1, 1), dtype=np.uint8))
    dataset = PatchCamelyon(str(folder), validation=True)
    assert dataset.load(Split.TEST).inputs[:, 1, 2, 5].tolist() == [50, 51, 52, 53]
    assert torch.equal(dataset.load(Split.TRAIN).inputs, PatchCamelyon(str(folder)).load(Split.TRAIN).inputs)
    assert to_canonical_json(dataset) != to_canonical_json(PatchCamelyon())
    assert "validation" not in to_canonical_json(PatchCamelyon())


def test_gzipped_files_are_unpacked_once(folder: Path, tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    usual = PatchCamelyon(str(folder))
    fingerprint, examples = usual.fingerprint(), usual.load(Split.TEST)
    for path in list(folder.glob("*.h5")):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert PatchCamelyon(str(folder)).fingerprint() == fingerprint
    assert len(list(place.rglob("*.h5"))) == 4
    monkeypatch.setattr(gzip, "open", lambda *words: pytest.fail("unpacked again"))
    assert torch.equal(PatchCamelyon(str(folder)).load(Split.TEST).inputs, examples.inputs)
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    name = f"{FILES.test[0]}.gz"
    (folder / name).write_bytes(gzip.compress(b"\0" * 5000)[:-9])
    with pytest.raises(ValueError, match=rf"Cannot unpack .*{name}: .*gunzip --keep {name}"):
        PatchCamelyon(str(folder)).load(Split.TEST)
    monkeypatch.setattr(patch_camelyon, "MAX_UNPACKED_BYTES", 1000)
    (folder / name).write_bytes(gzip.compress(b"\0" * 5000))
    with pytest.raises(ValueError, match=rf"Cannot unpack .*{name}: more than 1e-06 GB"):
        PatchCamelyon(str(folder)).load(Split.TEST)
    assert not [path for path in place.rglob("tmp*") if path.is_file()]
