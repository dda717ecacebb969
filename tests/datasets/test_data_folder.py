"""Where datasets lie, and the command that puts them there."""

from pathlib import Path

import equistudy as eq
from equistudy.datasets.data_folder import describe_fetch, get_data_folder


def test_every_reader_looks_in_the_folder_of_the_environment(monkeypatch):
    readers = eq.MNIST(), eq.CIFAR100(), eq.PatchCamelyon(), eq.Olivetti(), eq.RotatedMNIST(), eq.CamVid(), eq.QM9()
    monkeypatch.delenv("EQUISTUDY_DATA", raising=False)
    names = [reader.root.name for reader in readers]
    assert [reader.root for reader in readers] == [Path("data") / name for name in names]
    monkeypatch.setenv("EQUISTUDY_DATA", "/shared/data")
    assert [reader.root for reader in readers] == [Path("/shared/data") / name for name in names]
    # workers on other machines get the path, not the variable
    assert eq.MNIST().with_absolute_paths().folder == "/shared/data/mnist"
    assert eq.MNIST("mine").root == Path("mine")
    monkeypatch.setenv("EQUISTUDY_DATA", "")
    assert get_data_folder() == Path("data")


def test_the_command_fits_the_folder(monkeypatch):
    monkeypatch.delenv("EQUISTUDY_DATA", raising=False)
    assert describe_fetch("mnist", None) == "Or fetch them: python -m equistudy fetch mnist"
    assert describe_fetch("mnist", "/x/mnist") == "Or fetch them: python -m equistudy fetch mnist --into /x"
    told = describe_fetch("mnist", "/x/digits")
    assert told == "Or leave the folder out and fetch them to data/mnist: python -m equistudy fetch mnist"
