"""Flowers-102 from files that are written here in the published format."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from equistudy.datasets.dataset import Split
from equistudy.datasets.flowers import Flowers102
from equistudy.datasets.photographs import CorruptImages

CLASSES = (3, 1, 2, 3, 1, 2, 2, 1)  # of photographs 1 to 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight photographs, the k-th of brightness 20 k: 5, 2 and 8 for training, the others for testing."""
    (tmp_path / "jpg").mkdir()
    for number in range(1, 9):
        Image.new("RGB", (24, 16), (20 * number,) * 3).save(tmp_path / "jpg" / f"image_{number:05d}.jpg")
    savemat(tmp_path / "imagelabels.mat", {"labels": np.array([CLASSES], dtype=np.uint8)})
    splits = {"trnid": [[5, 2]], "valid": [[8]], "tstid": [[7, 1, 3, 4, 6]]}
    savemat(tmp_path / "setid.mat", {name: np.array(rows, dtype=np.uint16) for name, rows in splits.items()})
    return tmp_path


def test_splits_and_labels_are_those_of_the_tables(folder: Path) -> None:
    dataset = Flowers102(str(folder), 16)
    for split, numbers in ((Split.TRAIN, (5, 2, 8)), (Split.TEST, (7, 1, 3, 4, 6))):
        images, targets = dataset.load(split)
        assert images.shape == (len(numbers), 3, 16, 16)
        assert images.float().mean(dim=(1, 2, 3)).tolist() == pytest.approx([20 * number for number in numbers], abs=1)
        assert targets.tolist() == [CLASSES[number - 1] - 1 for number in numbers]
    assert dataset.num_classes == 3


def test_the_folder_of_torchvision_is_found_too(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("data")
    before = Flowers102(str(folder), 16).fingerprint()
    folder.rename(root / "flowers-102")
    moved = Flowers102(str(root), 16)
    assert moved.fingerprint() == before
    (root / "flowers-102" / "jpg" / "image_00001.jpg").write_bytes(b"other")
    assert moved.fingerprint() != before


def test_a_missing_photograph_is_named_and_left_out(folder: Path) -> None:
    (folder / "jpg" / "image_00003.jpg").unlink()
    with pytest.warns(CorruptImages, match=r"1 of 5 images of .* image_00003.jpg \(missing\)"):
        images, _ = Flowers102(str(folder), 16).load(Split.TEST)
    assert len(images) == 4


def test_bad_files_are_refused(folder: Path) -> None:
    dataset = Flowers102(str(folder))
    savemat(folder / "setid.mat", {"trnid": [[9]], "valid": [[1]], "tstid": [[2]]})
    with pytest.raises(
        ValueError, match=r"numbered from 1 to 8, the length of imagelabels.mat, got 9 to 9 in .*setid.mat"
    ):
        dataset.list_images(Split.TRAIN)
    savemat(folder / "setid.mat", {"trnid": [[1]]})
    with pytest.raises(ValueError, match=r"must hold trnid, valid, tstid, got .*setid.mat without valid, tstid"):
        dataset.list_images(Split.TRAIN)
    (folder / "setid.mat").write_bytes(b"no table")
    with pytest.raises(
        ValueError, match=r"Flowers102 needs a MATLAB 5 file, got .*setid.mat, which cannot be read: .* Copy it again"
    ):
        dataset.list_images(Split.TRAIN)
    (folder / "setid.mat").unlink()
    with pytest.raises(ValueError, match=r"needs all its files, got .*Put jpg/ \(official: 102flowers.tgz\)"):
        dataset.list_images(Split.TRAIN)
