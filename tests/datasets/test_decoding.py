"""Decoded pixels against an independent reading of the arrays that were stored, in every mode and orientation."""

import io
import re
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from equistudy.datasets import decoding
from equistudy.datasets.decoding import decode_image, decode_square, describe_conversion

SIDE = (7, 5)  # height and width


def noise(*shape: int, seed: int = 0, most: int = 255, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most, shape, dtype=kind, endpoint=True)


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def from_cmyk(ink: np.ndarray) -> np.ndarray:
    paper = 255.0 - ink
    return paper[..., :3] * paper[..., 3:] / 255


def palette_image() -> tuple[Image.Image, np.ndarray]:
    colours, indices = noise(16, 3, seed=1), noise(*SIDE, most=15)
    image = Image.fromarray(indices).convert("L")
    image.putpalette(colours.reshape(-1).tolist())
    return image, colours[indices].astype(float)


# what is stored, in which format, and the RGB values that it means
STORED: dict[str, tuple[Callable[[], tuple[Image.Image, np.ndarray]], tuple[str, ...]]] = {
    "1": (
        lambda: (Image.fromarray(bits := noise(*SIDE, most=1).astype(bool)), grey(bits * 255.0)),
        ("PNG", "TIFF", "BMP"),
    ),
    "L": (lambda: (Image.fromarray(x := noise(*SIDE)), grey(x.astype(float))), ("PNG", "TIFF", "BMP", "PPM", "GIF")),
    "LA": (
        lambda: (Image.fromarray(x := noise(*SIDE, 2), "LA"), grey(x[..., 0].astype(float))),
        ("PNG", "TIFF"),
    ),
    "P": (palette_image, ("PNG", "TIFF", "BMP", "GIF")),
    "RGB": (lambda: (Image.fromarray(x := noise(*SIDE, 3)), x.astype(float)), ("PNG", "TIFF", "BMP", "PPM", "WEBP")),
    "RGBA": (
        lambda: (Image.fromarray(x := noise(*SIDE, 4)), x[..., :3].astype(float)),
        ("PNG", "TIFF"),
    ),
    "CMYK": (lambda: (Image.fromarray(x := noise(*SIDE, 4), "CMYK"), from_cmyk(x)), ("TIFF",)),
    "I;16": (
        lambda: (Image.fromarray(x := noise(*SIDE, most=65535, kind=np.uint16)), grey(x / 257.0)),
        ("PNG", "TIFF", "PPM"),
    ),
    "F": (
        lambda: (
            Image.fromarray(x := (noise(*SIDE, most=2**20, kind=np.int64) / 2**20).astype(np.float32)),
            grey(x * 255.0),
        ),
        ("TIFF",),
    ),
}


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}), **options)
    return buffer.getvalue()


def pixels(found: Image.Image | str) -> np.ndarray:
    assert not isinstance(found, str), found
    assert found.mode == "RGB"
    return np.asarray(found).astype(float)


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize(("mode", "form"), [(mode, form) for mode, (_, forms) in STORED.items() for form in forms])
def test_values_of_every_mode_and_format(mode: str, form: str) -> None:
    image, meant = STORED[mode][0]()
    found = pixels(decode_image(encode(image, form)))
    assert np.abs(found - meant).max() <= (1.0 if mode == "CMYK" else 0.5)
    assert found.max() - found.min() > 128


def turned(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The stored pixels of an upright image, from the table of the EXIF standard: where row 0 and column 0 are."""
    rows_of = {  # orientation: the side on which the 0th row lies, and that of the 0th column
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }  # fmt: skip
    row_side, column_side = rows_of[orientation]
    height, width = upright.shape[:2]
    swapped = row_side in ("left", "right")
    stored = np.empty((width, height, 3) if swapped else upright.shape, upright.dtype)
    for row in range(stored.shape[0]):
        for column in range(stored.shape[1]):
            along = {row_side: row, column_side: column}
            y = along["top"] if "top" in along else height - 1 - along["bottom"]
            x = along["left"] if "left" in along else width - 1 - along["right"]
            stored[row, column] = upright[y, x]
    return stored


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(orientation: int, form: str) -> None:
    upright = noise(4, 6, 3)
    if form == "JPEG":  # which keeps only smooth colours
        upright = np.repeat(np.repeat(noise(2, 3, 3, seed=2), 16, 0), 16, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(turned(upright, orientation)), form, exif=exif)
    found = pixels(decode_image(data))
    assert found.shape == upright.shape
    assert np.abs(found - upright).mean() <= (12 if form == "JPEG" else 0)
    assert describe_conversion(data) == ("" if orientation == 1 else f"orientation {orientation}")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage and more"])
def test_damaged_exif_data_hide_no_image(exif: bytes) -> None:
    values = np.repeat(np.repeat(noise(2, 3, 3, seed=2), 16, 0), 16, 1)
    plain, marked = (encode(Image.fromarray(values), "JPEG", **more) for more in ({}, {"exif": exif}))
    assert np.array_equal(pixels(decode_image(marked)), pixels(decode_image(plain)))
    assert describe_conversion(marked) == ""


def test_turns_are_those_of_pil() -> None:
    names = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270"}
    names |= {7: "TRANSVERSE", 8: "ROTATE_90"}
    assert {key: Image.Transpose[name].value for key, name in names.items()} == decoding.TURNS


def test_deep_values_keep_their_range_however_they_are_stored() -> None:
    values = noise(*SIDE, most=65535, kind=np.uint16)
    for data in (values, values.astype(">u2")):
        assert np.abs(pixels(decode_image(encode(Image.fromarray(data), "TIFF"))) - grey(values / 257)).max() <= 0.5
    inverted = Image.fromarray(values)
    negative = decode_image(encode(inverted, "TIFF", tiffinfo={262: 0}))
    assert np.abs(pixels(negative) - grey(255 - values / 257)).max() <= 0.5
    assert describe_conversion(encode(inverted, "PNG")) == "mode I;16"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (noise(*SIDE, most=10**6, kind=np.int32), "signed or 32-bit integers, whose range is unknown"),
        (noise(*SIDE).astype(np.float32), r"floating-point values from \d+ to \d+, which must lie in \[0, 1\]"),
        (np.full(SIDE, np.nan, np.float32), r"floating-point values from nan to nan"),
        (np.full(SIDE, -0.5, np.float32), r"floating-point values from -0.5 to -0.5"),
    ],
)
def test_values_without_a_known_range_are_refused(values: np.ndarray, reason: str) -> None:
    found = decode_image(encode(Image.fromarray(values), "TIFF"))
    assert isinstance(found, str)
    assert re.search(reason, found)
    assert decode_square(encode(Image.fromarray(values), "TIFF"), 4) == found


def test_a_transparent_palette_keeps_its_colours() -> None:
    image, meant = palette_image()
    data = encode(image, "PNG", transparency=bytes(range(0, 160, 10)))
    assert np.array_equal(pixels(decode_image(data)), meant)


@pytest.mark.filterwarnings("ignore:Image size")
def test_images_with_too_many_pixels_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    large = encode(Image.new("1", (12000, 10000)), "PNG")
    assert decode_square(large, 8) == "more than 100 megapixels, the limit of EQUISTUDY_MAX_MEGAPIXELS"
    huge = encode(Image.new("1", (30000, 20000)), "PNG")
    assert "more than 100 megapixels" in str(decode_image(huge))
    monkeypatch.setenv("EQUISTUDY_MAX_MEGAPIXELS", "0.00002")
    assert "more than 2e-05 megapixels" in str(decode_image(encode(Image.new("L", SIDE), "PNG")))
    monkeypatch.setenv("EQUISTUDY_MAX_MEGAPIXELS", "many")
    with pytest.raises(ValueError, match=r"EQUISTUDY_MAX_MEGAPIXELS must be a positive number, got 'many'\. Try"):
        decoding.compute_max_pixels()


def test_a_reason_is_passed_on() -> None:
    assert decode_image("missing") == decode_square("missing", 4) == "missing"
    assert describe_conversion("missing") == describe_conversion(b"no image") == ""
