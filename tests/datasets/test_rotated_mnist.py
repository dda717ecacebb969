"""The text files of rotated MNIST, written here."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from equistudy.datasets import rotated_mnist as module
from equistudy.datasets.dataset import Split
from equistudy.datasets.rotated_mnist import RotatedMNIST

NAMES = RotatedMNIST.layouts[0].names


def write(root: Path, packed: bool = False) -> dict[str, np.ndarray]:
    """Seven digits to train and five to test, of random pixels."""
    root.mkdir(parents=True, exist_ok=True)
    rng, tables = np.random.default_rng(0), {}
    for name, count in zip(NAMES, (7, 5), strict=True):
        tables[name] = np.hstack([rng.random((count, 784)), rng.integers(0, 10, (count, 1))])
        lines = "".join("   ".join(f"{value:.7e}" for value in row) + " \n" for row in tables[name]).encode()
        (root / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(lines) if packed else lines)
    return tables


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", ["", "mnist_rotation_new"])
def test_pixels_row_by_row_and_the_class(tmp_path: Path, monkeypatch, packed: bool, folder: str) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    tables = write(tmp_path / folder, packed)
    dataset = RotatedMNIST(str(tmp_path))
    for split, name in zip((Split.TRAIN, Split.TEST), NAMES, strict=True):
        images, targets = dataset.load(split)
        expected = torch.tensor(tables[name][:, :784] * 255).round().reshape(-1, 1, 28, 28)
        assert torch.equal(images, expected.to(torch.uint8))
        assert targets.tolist() == tables[name][:, 784].tolist()
    plain = tmp_path / "plain"
    write(plain)
    assert RotatedMNIST(str(plain)).fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0.5 " * 784, r"got .*test\.amat, lines 4 to 6, with: "),
        ("0.5 " * 785 + "3", r"lines 4 to 6, with: "),
        ("1.5 " + "0.5 " * 783 + "3", r"with: pixels from .* to 1\.5"),
        ("nan " + "0.5 " * 783 + "3", r"with: pixels from nan to nan"),
        ("0.5 " * 784 + "3.5", r"with: a class that is not a whole number"),
        ("0.5 " * 784 + "three", r"lines 4 to 6, with: "),
        ("0.5 " * 784 + "10", r"Labels must lie in 0 to 9, got 10 at position 5 of .*test\.amat"),
    ],
)
def test_lines_that_are_none(tmp_path: Path, monkeypatch, line: str, message: str) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    write(tmp_path)
    with (tmp_path / NAMES[1]).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=message):
        RotatedMNIST(str(tmp_path)).load(Split.TEST)
