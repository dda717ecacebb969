"""Decoded images in a file: the same as `load` gives, written once, and told again what decoding told."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from equistudy.datasets import stored as module
from equistudy.datasets.dataset import Split
from equistudy.datasets.image_folder import ImageFolder
from equistudy.datasets.photographs import CorruptImages, Photographs
from equistudy.datasets.stored import open_stored

COUNT = 20


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageFolder:
    """Twenty images of noise, of which the fourth and the last cannot be read."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        path = tmp_path / "photos" / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 15, 3), dtype=np.uint8)).save(path)
        if number in (3, COUNT - 1):
            path.write_bytes(b"gone")
    return ImageFolder(str(tmp_path / "photos"), 10)


@pytest.mark.parametrize("size", [None, 13])
def test_the_file_holds_what_load_gives(photos: ImageFolder, size: int | None, monkeypatch) -> None:
    dataset = ImageFolder(photos.path, 10, test_size=size)
    with pytest.warns(CorruptImages, match=r"of 1[03] images" if size else r"2 of 20 images"):
        loaded = dataset.load(Split.TEST)
    with pytest.warns(CorruptImages, match=r"b/"):
        stored = open_stored(dataset, Split.TEST)
    count = len(loaded.inputs)
    assert torch.equal(torch.from_numpy(stored.read(range(count))), loaded.inputs)
    assert stored.found.targets == tuple(loaded.targets.tolist())
    some = [5, 1, 5, 0]
    assert torch.equal(torch.from_numpy(stored.read(some)), loaded.inputs[some])
    monkeypatch.setattr(Photographs, "decode_split", lambda *words: pytest.fail("decoded again"))
    with pytest.warns(CorruptImages, match=r"b/"):
        assert open_stored(dataset, Split.TEST) == stored


def test_a_file_that_was_cut_off_is_written_anew(photos: ImageFolder, tmp_path: Path) -> None:
    with pytest.warns(CorruptImages):
        before = open_stored(photos, Split.TEST)
    pixels = before.read(range(4))
    os.truncate(before.path, 1000)
    with pytest.raises(OSError, match=r"was truncated while it was read"):
        before.read(range(4))
    with pytest.warns(CorruptImages):
        assert np.array_equal(open_stored(photos, Split.TEST).read(range(4)), pixels)
    assert sorted(path.suffix for path in (tmp_path / f"equistudy-{os.getuid()}").iterdir()) == [".json", ".pixels"]


def test_nothing_is_left_where_decoding_fails(photos: ImageFolder, tmp_path: Path) -> None:
    for path in sorted((tmp_path / "photos" / "a").iterdir()):
        path.write_bytes(b"gone")
    with pytest.raises(ValueError, match=r"At most 20% .* but 12 of 20 images"):
        open_stored(photos, Split.TEST)
    assert list((tmp_path / f"equistudy-{os.getuid()}").iterdir()) == []
    assert module.__all__ == ["StoredImages", "open_stored"]
