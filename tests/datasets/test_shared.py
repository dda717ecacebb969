"""Splits that processes share: equal to what is loaded, decoded once, and never in the way."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from equistudy.datasets import shared as module
from equistudy.datasets.dataset import Examples, Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.shared import load_shared

DIGITS = Digits(canvas=16, digit=8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "MIN_SHARED_BYTES", 0)
    return tmp_path / f"equistudy-{os.getuid()}"


def same(one: Examples, other: Examples) -> bool:
    return all(torch.equal(mine, its) for mine, its in zip(one, other, strict=True))


def test_decoded_once_and_equal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = DIGITS.load(Split.TEST)
    assert same(load_shared(DIGITS, Split.TEST), loaded)
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(Digits, "load", lambda self, split: pytest.fail("decoded again"))
    again = load_shared(DIGITS, Split.TEST)
    assert same(again, loaded)
    again[0].zero_()  # a process's own mistake
    assert same(load_shared(DIGITS, Split.TEST), loaded)


@pytest.mark.slow
def test_another_process_maps_the_same_file(folder: Path) -> None:
    inputs = load_shared(DIGITS, Split.TEST)[0]
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from equistudy.datasets.shared import load_shared\n"
        "from equistudy.datasets.dataset import Split\n"
        "from equistudy.datasets.digits import Digits\n"
        "Digits.load = None\n"
        "inputs = load_shared(Digits(canvas=16, digit=8), Split.TEST)[0]\n"
        "print(int(inputs.long().sum()), sys.argv[1] in open('/proc/self/maps').read())"
    )
    command = [sys.executable, "-c", code, str(folder.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.split() == [str(int(inputs.long().sum())), "True"]


def test_other_data_and_other_specs_have_other_files(folder: Path) -> None:
    for dataset in (DIGITS, Digits(canvas=18, digit=8), Digits(canvas=16, digit=8, test_size=20)):
        assert same(load_shared(dataset, Split.TEST), dataset.load(Split.TEST))
        assert same(load_shared(dataset, Split.TRAIN), dataset.load(Split.TRAIN))
    assert len(list(folder.iterdir())) == 12


def test_a_file_that_is_cut_off_is_written_again(folder: Path) -> None:
    load_shared(DIGITS, Split.TEST)
    for place in folder.iterdir():
        place.write_bytes(place.read_bytes()[:90])
    assert same(load_shared(DIGITS, Split.TEST), DIGITS.load(Split.TEST))
    assert min(place.stat().st_size for place in folder.iterdir()) > 1000


def test_where_nothing_can_be_written_each_process_has_its_own(folder: Path) -> None:
    folder.write_text("in the way")
    assert same(load_shared(DIGITS, Split.TEST), DIGITS.load(Split.TEST))


def test_unused_files_are_removed_and_small_splits_are_not_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_shared(DIGITS, Split.TEST)
    for place in folder.iterdir():
        os.utime(place, (1, 1))
    load_shared(DIGITS, Split.TRAIN)
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(module, "MIN_SHARED_BYTES", 2**40)
    load_shared(DIGITS, Split.TEST)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("kind", ["link", "dangling link", "file", "writable by others"])
def test_a_folder_that_is_not_ours_alone_is_refused_and_nothing_behind_it_is_touched(kind: str, folder: Path) -> None:
    """Files elsewhere that are older than a day were deleted through a link."""
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.tex").write_text("all of it")
    os.utime(elsewhere / "thesis.tex", (0, 0))
    if kind == "file":
        folder.write_text("in the way")
    elif kind == "writable by others":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        folder.symlink_to(elsewhere if kind == "link" else "/nowhere")
    with pytest.raises(OSError, match=r"must be a directory that only you can write to, got .* or set TMPDIR to"):
        module.remove_unused()
    assert same(load_shared(DIGITS, Split.TEST), DIGITS.load(Split.TEST))
    assert [path.name for path in elsewhere.iterdir()] == ["thesis.tex"]
