"""Decoding, cutting, subsets and what cannot be read, on files that are written here."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from equistudy.datasets.dataset import Split
from equistudy.datasets.image_folder import ImageFolder
from equistudy.datasets.photographs import CorruptImages, decode_square
from equistudy.spec import format_label, to_canonical_json

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def png(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def stripes(size: int) -> Image.Image:
    """Three squares beside each other."""
    image = Image.new("RGB", (3 * size, size))
    for place, color in enumerate((RED, GREEN, BLUE)):
        image.paste(color, (place * size, 0, (place + 1) * size, size))
    return image


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    """Ten grey squares, the k-th of brightness 20 k, in two folders."""
    for number in range(10):
        path = tmp_path / ("even", "odd")[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(Image.new("L", (8, 8), 20 * number)))
    return tmp_path


def test_the_middle_is_cut_out_in_either_direction() -> None:
    wide, high = stripes(8), stripes(8).rotate(90, expand=True)
    for image in (wide, high):
        cut = decode_square(png(image), 8)
        assert isinstance(cut, np.ndarray)
        assert (cut.reshape(3, -1).T == GREEN).all()


def test_the_shorter_side_gets_the_size_and_nothing_is_distorted() -> None:
    cut = decode_square(png(Image.linear_gradient("L").resize((512, 256))), 32)
    assert isinstance(cut, np.ndarray)
    assert cut.shape == (3, 32, 32)
    # row k of 32 holds the mean of brightnesses 8 k ... 8 k + 7
    expected = 8 * np.arange(32) + 3.5
    assert np.abs(cut[0][1:-1].T - expected[1:-1]).max() <= 1
    assert (cut[0] == cut[1]).all()
    assert (cut[0] == cut[2]).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "LA"])
def test_every_mode_becomes_three_channels(mode: str) -> None:
    cut = decode_square(png(Image.new("RGB", (9, 9), (255, 255, 255)).convert(mode), "TIFF"), 9)
    assert isinstance(cut, np.ndarray)
    assert (cut == 255).all()


@pytest.mark.parametrize(
    ("data", "reason"), [(b"no image", "not an image"), (b"", "not an image"), (png(stripes(64))[:80], "truncated")]
)
def test_bytes_that_are_no_image_have_a_reason(data: bytes, reason: str) -> None:
    cut = decode_square(data, 8)
    assert isinstance(cut, str)
    assert reason in cut.lower()


def test_unreadable_images_are_named_counted_and_left_out(ten: Path) -> None:
    whole = ImageFolder(str(ten), 8).load(Split.TEST)
    (ten / "even" / "4.png").write_bytes(b"gone")
    dataset = ImageFolder(str(ten), 8)
    with pytest.warns(CorruptImages, match=r"1 of 10 images of .* cannot be read: even/4.png \(not an image\); they"):
        images, targets = dataset.load(Split.TEST)
    kept = [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert torch.equal(images, whole.inputs[kept])
    assert torch.equal(targets, whole.targets[kept])
    for name in ("even/0.png", "odd/1.png"):
        (ten / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"At most 20% .* but 3 of 10 images .*even/0.png.*Copy them again\."):
        dataset.load(Split.TEST)


def test_a_part_is_balanced_nested_and_has_its_own_identity(ten: Path) -> None:
    def shades(count: int) -> set[int]:
        images, targets = ImageFolder(str(ten), 8, test_size=count).load(Split.TEST)
        assert abs(int(targets.sum()) * 2 - count) <= 1
        return {int(image[0, 0, 0]) for image in images}

    assert shades(3) < shades(6) < shades(10)
    whole, part = ImageFolder(str(ten), 8), ImageFolder(str(ten), 8, test_size=6)
    assert to_canonical_json(part) != to_canonical_json(whole)
    assert part.fingerprint() != whole.fingerprint()
    assert format_label(part) == "ImageFolder(size=8, test_size=6)"


def test_labels_may_stay_unread(ten: Path) -> None:
    named, bare = ImageFolder(str(ten), 8), ImageFolder(str(ten), 8, labels=False)
    assert (named.has_labels, named.num_classes) == (True, 2)
    assert (bare.has_labels, bare.num_classes) == (False, 1000)
    assert set(bare.load(Split.TEST).targets.tolist()) == {-1}
    assert to_canonical_json(named) != to_canonical_json(bare)


def test_the_identity_is_in_the_bytes_in_use_and_not_in_their_place(ten: Path, tmp_path_factory) -> None:
    dataset = ImageFolder(str(ten), 8)
    copy = tmp_path_factory.mktemp("copy") / "other"
    copy.mkdir()
    for path in ten.rglob("*.png"):
        (copy / path.relative_to(ten)).parent.mkdir(exist_ok=True)
        (copy / path.relative_to(ten)).write_bytes(path.read_bytes())
    moved = ImageFolder(str(copy), 8)
    assert to_canonical_json(moved) == to_canonical_json(dataset)
    assert moved.fingerprint() == dataset.fingerprint()
    (copy / "even" / "0.png").write_bytes(png(Image.new("L", (8, 8), 1)))
    assert moved.fingerprint() != dataset.fingerprint()


def test_anchored(ten: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ten.parent)
    assert ImageFolder(ten.name, 8, test_size=3).with_absolute_paths() == ImageFolder(str(ten), 8, test_size=3)


def test_what_cannot_be_asked_for(ten: Path) -> None:
    with pytest.raises(ValueError, match=r"ImageFolder needs the path of its images\. Use ImageFolder\(path\)"):
        ImageFolder()
    with pytest.raises(ValueError, match=r"ImageFolder\.size must be at least 1, got size=0"):
        ImageFolder(str(ten), 0)
    with pytest.raises(ValueError, match=r"test_size must be at most .* got test_size=11 for 10 in .*Use 10, or None"):
        ImageFolder(str(ten), 8, test_size=11).fingerprint()
    with pytest.raises(ValueError, match=r"ImageFolder needs training images, got none in"):
        ImageFolder(str(ten), 8).load(Split.TRAIN)
