"""The paper's own sprites, where their file is, and files that are something else."""

from pathlib import Path

import numpy as np
import pytest

from equistudy.datasets.dataset import Split
from equistudy.datasets.mario_iggy import MarioIggy
from equistudy.datasets.sectors import Sectors
from equistudy.datasets.sprites import Sprites


@pytest.fixture
def folder():
    path = Path(__file__).parents[3] / "shared" / "data" / "mario-iggy"
    if not (path / "images.npz").is_file():
        pytest.skip("the paper's sprites are not beside the checkout")
    return path


def test_the_papers_sprites(folder):
    images, targets = MarioIggy(str(folder)).load(Split.TRAIN)
    assert images.shape == (2, 3, 32, 32)
    assert targets.tolist() == [0, 1]
    values = images.double() / 255
    np.testing.assert_allclose(values.mean((0, 2, 3)), MarioIggy.mean, atol=1e-3)
    np.testing.assert_allclose(values.std((0, 2, 3)), MarioIggy.std, atol=1e-3)
    turned = Sectors(MarioIggy(str(folder), size=16), 2, 45.0, train_size=40, test_size=8)
    assert turned.load(Split.TEST).inputs.shape == (8, 3, 16, 16)
    assert turned.num_classes == Sprites(2, 45.0).num_classes


def written(path, **arrays):
    np.savez(path / "images.npz", **arrays)
    return MarioIggy(str(path))


def test_what_is_not_the_papers_file(tmp_path):
    with pytest.raises(ValueError, match=r"MarioIggy needs its data files, got none in"):
        MarioIggy(str(tmp_path)).load(Split.TRAIN)
    good = np.zeros((1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"images\.npz must hold mario, iggy, got .*images\.npz without iggy"):
        written(tmp_path, mario=good).load(Split.TRAIN)
    with pytest.raises(ValueError, match=r"The values of mario must lie in \[0, 1\], got 2 to 2 in .*Copy it ag"):
        written(tmp_path, mario=good + 2, iggy=good).load(Split.TRAIN)
    assert written(tmp_path, mario=good, iggy=good + 1).load(Split.TEST).inputs[1].min() == 255
    (tmp_path / "images.npz").write_bytes(b"PK no archive")
    with pytest.raises(
        ValueError,
        match=r"MarioIggy needs an npz file, got .*images\.npz, .* not a complete zip archive.*Copy it again",
    ):
        MarioIggy(str(tmp_path)).load(Split.TRAIN)
