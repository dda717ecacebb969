from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from equistudy.datasets.dataset import Split
from equistudy.datasets.olivetti import FILE, Olivetti

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "olivetti"


def write(folder: Path) -> Path:
    """Person p looks to view v as a gradient that runs down the rows, with p in the first pixel."""
    faces = np.zeros((64, 64, 400), dtype=np.uint8)
    faces[:, :] = np.arange(64, dtype=np.uint8)[None, :, None]  # column-major: the second axis is the row
    faces[0, 0] = np.arange(400) // 10
    savemat(folder / FILE, {"faces": faces.reshape(4096, 400)})
    return folder


def test_nobody_is_in_both_splits(tmp_path: Path) -> None:
    train, test = (Olivetti(str(write(tmp_path))).load(split) for split in Split)
    assert (train.inputs.shape, test.inputs.shape) == ((300, 1, 64, 64), (100, 1, 64, 64))
    assert not set(train.targets.tolist()) & set(test.targets.tolist())
    assert train.targets.bincount().unique().tolist() == [0, 10]
    assert train.inputs[:, 0, 0, 0].tolist() == train.targets.tolist()


@pytest.mark.skipif(not REAL.is_dir(), reason="the original file is not beside the checkout")
def test_the_original_faces_look_upright() -> None:
    """Faces are more alike when mirrored left to right than when mirrored top to bottom."""
    images = Olivetti(str(REAL)).load(Split.TRAIN).inputs.double() / 255
    sideways, upside = ((images - images.flip(axis)).abs().mean() for axis in (3, 2))
    assert sideways < 0.8 * upside
    assert float(images.mean()) == pytest.approx(Olivetti.mean[0], abs=2e-3)
    assert float(images.std()) == pytest.approx(Olivetti.std[0], abs=2e-3)
    shrunk = Olivetti(str(REAL), size=32).load(Split.TEST).inputs
    assert shrunk.shape == (100, 1, 32, 32)
    assert torch.unique(shrunk).numel() > 100


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"MATLAB" * 100)
    with pytest.raises(
        ValueError, match=r"Olivetti needs a MATLAB 5 file, got .*olivettifaces\.mat, which cannot be read: "
    ):
        Olivetti(str(tmp_path)).load(Split.TRAIN)
    savemat(tmp_path / FILE, {"faces": np.zeros((10, 10))})
    with pytest.raises(ValueError, match=r"array faces must hold 4096 x 400 numbers, got 10 x 10 of type float64 in"):
        Olivetti(str(tmp_path)).load(Split.TRAIN)
    savemat(tmp_path / FILE, {"others": np.zeros((10, 10))})
    with pytest.raises(ValueError, match=r"olivettifaces\.mat must hold faces, got .* without faces\. Copy it again"):
        Olivetti(str(tmp_path)).fingerprint()
