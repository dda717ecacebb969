"""Which files of a dataset are there, and what an absent one says."""

import pytest

from equistudy.datasets.dataset import Split
from equistudy.datasets.mnist import MNIST, FashionMNIST

NAMES = MNIST.layouts[0].names


def test_finds_files_here_or_in_the_archive_gzipped_or_not(tmp_path):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    for folder, suffix in ((tmp_path, ".gz"), (tmp_path, ""), (tmp_path / "MNIST" / "raw", ".gz")):
        for name in NAMES:
            (folder / f"{name}{suffix}").touch()
        assert MNIST(str(tmp_path)).files() == tuple(folder / f"{name}{suffix}" for name in NAMES)


def test_missing_folder_and_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=r"MNIST needs its data files, got none in nowhere, which does not exist\. Put the files train"
    ):
        MNIST("nowhere").fingerprint()
    with pytest.raises(ValueError, match=r"got none in data.fashion-mnist.*official: the four \.gz files of Fashion"):
        FashionMNIST().load(Split.TEST)
    for name in NAMES[1:]:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=rf"needs all files.*without {NAMES[0]}\..*MNIST\(folder=\.\.\.\)"):
        MNIST(str(tmp_path)).load(Split.TEST)


def test_anchored(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert MNIST().with_absolute_paths() == MNIST(str(tmp_path / "data" / "mnist"))
    assert MNIST("there", train_size=50).with_absolute_paths() == MNIST(str(tmp_path / "there"), train_size=50)
