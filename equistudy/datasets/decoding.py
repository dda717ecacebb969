"""Decodes compressed images to upright 8-bit RGB over the full range of their file, or says why it cannot."""

import io
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from PIL.Image import Image
else:
    Image = Any

__all__ = ["convert_image", "decode_image", "decode_square", "describe_conversion", "fit_square"]

LIMIT_VARIABLE = "EQUISTUDY_MAX_MEGAPIXELS"
DEFAULT_LIMIT = 100.0  # megapixels: 300 MB as RGB
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
UPRIGHT = 1
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF orientation: the PIL Transpose that undoes it
ORIENTATION = 0x0112  # EXIF and TIFF tag
ORIENTATION_MARKS = (b"Exif", b"EXIF", b"eXIf", b"exif", b"tiff:Orientation", b"II*\0", b"MM\0*")
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # TIFF tags


def compute_max_pixels() -> float:
    """The most pixels that an image may have: EQUISTUDY_MAX_MEGAPIXELS million, by default 100 million."""
    text = os.environ.get(LIMIT_VARIABLE, "")
    with suppress(ValueError):
        if not text or float(text) > 0:
            return float(text or DEFAULT_LIMIT) * 1e6
    raise ValueError(f"{LIMIT_VARIABLE} must be a positive number, got {text!r}. Try {LIMIT_VARIABLE}=400.")


def decode_square(
    data: bytes | str, size: int, interpolation: str = "bicubic", squash: bool = False
) -> UInt8[np.ndarray, "3 size size"] | str:
    """A compressed image as a square of `size` pixels, or the reason why it cannot be read.

    `data` may already be such a reason, which is returned unchanged. The shorter side is resized to `size` with
    antialiasing and the centre is cropped; with `squash` both sides are resized instead. `interpolation` is the
    lower-case name of one of PIL's `Resampling` filters.
    """
    image = decode_image(data)
    return image if isinstance(image, str) else fit_square(image, size, interpolation, squash)


def fit_square(
    image: Image, size: int, interpolation: str = "bicubic", squash: bool = False
) -> UInt8[np.ndarray, "3 size size"]:
    """An RGB image as a square of `size` pixels, as described for `decode_square`."""
    from PIL.Image import Resampling

    scale = size / min(image.size)
    width, height = (size if squash else max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = (
        image if image.size == (width, height) else image.resize((width, height), Resampling[interpolation.upper()])
    )
    cut = resized.crop((left, top, left + size, top + size))
    return np.ascontiguousarray(np.asarray(cut).transpose(2, 0, 1))


def decode_image(data: bytes | str) -> Image | str:
    """A compressed image in 8-bit RGB, or the reason why it cannot be read.

    The EXIF orientation is applied. 16-bit grey values are scaled from the range of the file format, floats from
    [0, 1]; 32-bit integers are refused, because no file states their range. Transparency is dropped, and of an
    animation the first frame is used.
    """
    from PIL import Image

    if isinstance(data, str):
        return data
    limit = compute_max_pixels()
    if Image.MAX_IMAGE_PIXELS is not None and limit > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = int(limit)  # PIL warns above it, and refuses images twice as large
    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > limit:
                raise Image.DecompressionBombError
            return convert_image(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"more than {limit / 1e6:g} megapixels, the limit of {LIMIT_VARIABLE}"
    except Image.UnidentifiedImageError:
        return "not an image"
    except Exception as error:  # PIL's readers raise many types of error
        return str(error).rstrip(".") or type(error).__name__


def convert_image(opened: Image) -> Image | str:
    """A PIL image, upright and in 8-bit RGB, or the reason why its range is unknown."""
    from PIL.Image import Transpose

    opened.load()  # for some formats this applies the orientation and removes the tag
    turn = TURNS.get(_read_orientation(opened))
    turned = opened if turn is None else opened.transpose(Transpose(turn))
    return _convert_depth(turned, opened) if opened.mode in DEEP_MODES else _convert_mode(turned)


def describe_conversion(data: bytes | str) -> str:
    """What decoding changes besides resizing, such as "orientation 6"; an empty string for most images.

    Only the header of the file is read, unless it contains EXIF data.
    """
    from PIL import Image

    if isinstance(data, str):
        return ""
    told = []
    with suppress(Exception), Image.open(io.BytesIO(data)) as opened:
        if opened.mode in DEEP_MODES:
            told.append(f"mode {opened.mode}")
        if any(mark in data for mark in ORIENTATION_MARKS):
            orientation = _read_orientation(opened)
            if orientation in TURNS:
                told.append(f"orientation {orientation}")
    return ", ".join(told)


def _read_orientation(image: Image) -> int:
    """The EXIF orientation; upright if the data is absent or damaged."""
    with suppress(Exception):
        return int(image.getexif().get(ORIENTATION, UPRIGHT))
    return UPRIGHT


def _convert_mode(image: Image) -> Image:
    """An image of at most 8 bits per channel, as RGB."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # as PIL recommends; the colours are unchanged
    return image.convert("RGB")


def _convert_depth(image: Image, opened: Image) -> Image | str:
    """An image of more than 8 bits per channel, as 8-bit RGB, or the reason why its range is unknown."""
    from PIL import Image

    values = np.asarray(image)
    tags = getattr(opened, "tag_v2", {})
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):  # NaN fails as well
            return f"floating-point values from {low:g} to {high:g}, which must lie in [0, 1]"
        scaled = values * 255.0
    elif image.mode == "I" and opened.format not in ("PNG", "PPM"):
        return "signed or 32-bit integers, whose range is unknown"
    else:
        bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
        full = 2 ** min(bits, 16) - 1
        inverted = tags.get(PHOTOMETRIC) == 0  # white is 0, which PIL respects only in 8 bits
        values = values.astype(np.float64)
        scaled = (full - values if inverted else values) * (255.0 / full)
    grey = np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
