from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from equistudy.datasets.camvid import CamVid
from equistudy.datasets.dataset import Split

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "camvid"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two frames to train, one to test: columns of class k show 20 k in red."""
    columns = np.arange(480) // 40 % 12
    for split, count in (("train", 2), ("test", 1)):
        (tmp_path / split).mkdir()
        (tmp_path / f"{split}annot").mkdir()
        lines = []
        for number in range(count):
            frame = np.zeros((360, 480, 3), dtype=np.uint8)
            frame[..., 0], frame[..., 1] = 20 * columns, number
            Image.fromarray(frame).save(tmp_path / split / f"{number}.png")
            Image.fromarray(np.tile(columns.astype(np.uint8), (360, 1))).save(
                tmp_path / f"{split}annot" / f"{number}.png"
            )
            lines.append(f"/SegNet/CamVid/{split}/{number}.png /SegNet/CamVid/{split}annot/{number}.png")
        (tmp_path / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_frames_and_labels_shrink_together(folder: Path) -> None:
    for height, width in ((360, 480), (90, 120)):
        dataset = CamVid(str(folder), height=height)
        images, labels = dataset.load(Split.TRAIN)
        assert images.shape == (2, *dataset.image_shape) == (2, 3, height, width)
        assert images[:, 1, 0, 0].tolist() == [0, 1]
        assert set(labels.unique().tolist()) == set(range(12))
        middle = torch.arange(12) * width // 12 + width // 24  # of each stripe, where averaging changes nothing
        assert torch.equal(images[0, 0, 5, middle], 20 * labels[0, 5, middle])
    assert len(CamVid(str(folder), train_size=1).load(Split.TRAIN).inputs) == 1


def test_the_fingerprint_is_of_the_files(folder: Path) -> None:
    before = CamVid(str(folder)).fingerprint()
    assert CamVid(str(folder), height=90).fingerprint() == before
    Image.new("L", (480, 360), 3).save(folder / "testannot" / "0.png")
    assert CamVid(str(folder)).fingerprint() != before
    assert CamVid(str(folder)).with_absolute_paths().folder == str(folder)


def test_what_is_wrong_is_named(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ValueError, match=r"CamVid needs train\.txt, test\.txt .* got no train\.txt in"):
        CamVid(str(tmp_path_factory.mktemp("empty"))).fingerprint()
    Image.new("L", (480, 360), 12).save(folder / "testannot" / "0.png")
    with pytest.raises(
        ValueError, match=r"grey values from 0 to 10, or 11 for void, got label 12 in .*testannot.0\.png"
    ):
        CamVid(str(folder)).load(Split.TEST)
    Image.new("L", (48, 36), 1).save(folder / "testannot" / "0.png")
    with pytest.raises(ValueError, match=r"Frames must have 480 x 360 pixels, got 48 x 36"):
        CamVid(str(folder)).load(Split.TEST)
    (folder / "trainannot" / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"CamVid needs readable PNG files, got .*trainannot.1\.png: "):
        CamVid(str(folder)).load(Split.TRAIN)
    (folder / "train" / "0.png").unlink()
    with pytest.raises(
        ValueError, match=r"Each line must name a photograph and its labels .* got .* in line 1 of .*train\.txt"
    ):
        CamVid(str(folder)).load(Split.TRAIN)
    with pytest.raises(ValueError, match=r"test_size must be at most the number of frames, got test_size=2 for 1"):
        CamVid(str(folder), test_size=2).load(Split.TEST)
    with pytest.raises(ValueError, match=r"8 to 360 rows and at least 1 frame per split, got height=361"):
        CamVid(height=361)


@pytest.mark.skipif(not REAL.is_dir(), reason="the original files are not beside the checkout")
def test_the_original_frames() -> None:
    dataset = CamVid(str(REAL), height=45, test_size=10)
    images, labels = dataset.load(Split.TEST)
    assert images.shape == (10, 3, 45, 60)
    assert labels.max() <= 11
    rows = torch.arange(45.0)[:, None].expand(45, 60)
    assert rows[(labels == 0).any(0)].mean() < rows[(labels == 3).any(0)].mean()  # the sky is above the road
