"""Adapters for images in memory: arrays, map-style torch datasets, and Hugging Face datasets."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from equistudy.datasets.arrays import DecodedArrays
from equistudy.datasets.dataset import Split
from equistudy.datasets.decoding import convert_image, decode_image, fit_square
from equistudy.datasets.in_memory import SOURCE, Content, InMemoryDataset, check_content
from equistudy.datasets.splits import SPLIT_NAMES

__all__ = ["Arrays", "HFDataset", "TorchDataset"]

LABEL_COLUMNS = ("label", "labels", "fine_label")
IMAGE_COLUMNS = ("image", "img")


@dataclass(frozen=True)
class Arrays(InMemoryDataset):
    """Images `x` with classes `y`, and `test_x` with `test_y` for testing, as NumPy arrays or torch tensors.

    Images have shape (N, C, H, W), (N, H, W, C) or (N, H, W) and hold 8-bit integers, or floats in [0, 1], which are
    rounded to 8 bits. Classes are numbered from 0; without classes, networks can be measured but not trained.

    >>> import numpy, equistudy as eq
    >>> images = numpy.zeros((4, 1, 8, 8), dtype=numpy.uint8)
    >>> eq.Arrays(images, [0, 1, 0, 1], images, [0, 1, 0, 1]).image_shape
    (1, 8, 8)
    """

    x: Any = dataclasses.field(default=None, repr=False, compare=False, metadata=SOURCE)
    y: Any = dataclasses.field(default=None, repr=False, compare=False, metadata=SOURCE)
    test_x: Any = dataclasses.field(default=None, repr=False, compare=False, metadata=SOURCE)
    test_y: Any = dataclasses.field(default=None, repr=False, compare=False, metadata=SOURCE)

    def _collect(self) -> Content:
        first = _pair("x", self.x, "y", self.y)
        if self.test_x is None:
            return check_content(Content(None, first))
        return check_content(Content(first, _pair("test_x", self.test_x, "test_y", self.test_y)))


@dataclass(frozen=True)
class TorchDataset(InMemoryDataset):
    """The images of a map-style torch dataset, and those of `test` for testing.

    Each item is an image, or a tuple that starts with an image and its class. An image is a tensor or array as `Arrays`
    accepts it, or a PIL image. If `size` is given, PIL images are resized and cropped to it; all images must have the
    same size. The dataset should apply no random transforms and no normalisation: those belong to the study.
    """

    dataset: Any = dataclasses.field(default=None, repr=False, compare=False, metadata=SOURCE)
    test: Any = dataclasses.field(default=None, repr=False, compare=False, metadata=SOURCE)
    size: int | None = dataclasses.field(default=None, kw_only=True)

    def _collect(self) -> Content:
        parts = [
            _stack_items(name, (_split_item(source[index]) for index in range(len(source))), self.size)
            for name, source in (("dataset", self.dataset), ("test", self.test))
            if source is not None
        ]
        return _order_parts(type(self).__name__, parts)


@dataclass(frozen=True)
class HFDataset(InMemoryDataset):
    """The images of a Hugging Face dataset, and those of `test` for testing. The library need not be installed.

    A dictionary of splits, as returned by `load_dataset`, is split by its names. The column `image` (or img) holds PIL
    images or their bytes, the column `label` (or labels, or fine_label) classes from 0. If `size` is given, images are
    resized and cropped to it.
    """

    dataset: Any = dataclasses.field(default=None, repr=False, compare=False, metadata=SOURCE)
    test: Any = dataclasses.field(default=None, repr=False, compare=False, metadata=SOURCE)
    size: int | None = dataclasses.field(default=None, kw_only=True)

    def _collect(self) -> Content:
        sources = [self.dataset, self.test]
        if isinstance(self.dataset, Mapping):
            sources = [
                next((self.dataset[name] for name in SPLIT_NAMES[split] if name in self.dataset), None)
                for split in (Split.TRAIN, Split.TEST)
            ]
            if sources == [None, None]:
                raise ValueError(
                    f"Splits must be named train, test or validation, got {', '.join(self.dataset)}. "
                    "Pass one split: HFDataset(dataset[NAME])."
                )
        parts = [
            _stack_items(name, _iterate_rows(source), self.size)
            for name, source in zip(("dataset", "test"), sources, strict=True)
            if source is not None
        ]
        return _order_parts(type(self).__name__, parts)


def _order_parts(name: str, parts: list[DecodedArrays]) -> Content:
    if not parts:
        raise ValueError(f"{name} needs a dataset, got none. Use {name}(dataset).")
    return check_content(Content(*parts) if len(parts) == 2 else Content(None, parts[0]))


def _pair(x_name: str, x: Any, y_name: str, y: Any) -> DecodedArrays:
    """The images and labels, which must have equal lengths."""
    if x is None:
        raise ValueError("Arrays needs images, got none. Use Arrays(x, y).")
    images = _to_images(x_name, _to_numpy(x))
    labels = np.full(len(images), -1) if y is None else _to_labels(y_name, _to_numpy(y))
    if len(images) != len(labels) or not len(images):
        raise ValueError(
            f"Each image needs one class, got {len(images)} images in {x_name} and {len(labels)} classes in {y_name}. "
            "Pass arrays of equal length."
        )
    return DecodedArrays(images, labels)


def _to_numpy(values: Any) -> np.ndarray:
    """A NumPy array made from an array, a torch tensor or a list."""
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)


def _to_images(name: str, array: np.ndarray) -> UInt8[np.ndarray, "N C H W"]:
    """8-bit images with channels first."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4:
        raise ValueError(
            f"{name} must have shape (N, C, H, W), (N, H, W, C) or (N, H, W), got {array.shape}. Reshape it."
        )
    if array.dtype.kind == "f":
        low, high = (float(value) for value in (array.min(), array.max())) if array.size else (0.0, 0.0)
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"Floating-point images must lie in [0, 1], got {low:g} to {high:g} in {name}. Undo their "
                "normalisation, or pass 8-bit integers."
            )
        array = np.floor(array.astype(np.float64) * 255 + 0.5)
    elif array.dtype.kind not in "iu" or (array.size and (array.min() < 0 or array.max() > 255)):
        got = f"{array.min()} to {array.max()}" if array.dtype.kind in "iu" else f"values of type {array.dtype}"
        raise ValueError(f"Integer images must lie in 0 to 255, got {got} in {name}. Rescale them.")
    return np.ascontiguousarray(array.astype(np.uint8))


def _to_labels(name: str, array: np.ndarray) -> Int64[np.ndarray, " N"]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must hold one integer class per image, got {array.dtype} of shape {array.shape}. Number the "
            "classes from 0."
        )
    if array.size and array.min() < 0 and not (array == -1).all():
        raise ValueError(f"Classes must be numbered from 0, got {array.min()} in {name}. Drop images without a class.")
    return array.astype(np.int64)


def _split_item(item: Any) -> tuple[Any, Any]:
    """Image and class of an item of a map-style dataset."""
    if isinstance(item, (tuple, list)):
        return item[0], item[1] if len(item) > 1 else -1
    return item, -1


def _iterate_rows(source: Any) -> Iterable[tuple[Any, Any]]:
    """Image and class of each row of a Hugging Face dataset."""
    names = list(source.column_names)
    image = next((name for name in IMAGE_COLUMNS if name in names), None)
    label = next((name for name in LABEL_COLUMNS if name in names), None)
    if image is None:
        raise ValueError(f"HFDataset needs a column image or img, got {', '.join(names)}. Rename the column.")
    for index in range(len(source)):
        row = source[index]
        yield row[image], -1 if label is None or row[label] is None else row[label]


def _stack_items(name: str, items: Iterable[tuple[Any, Any]], size: int | None) -> DecodedArrays:
    """The images and classes of items, which must have one shape."""
    images, labels = [], []
    for number, (image, label) in enumerate(items):
        images.append(_to_image(f"item {number} of {name}", image, size))
        labels.append(label)
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"All images must have the same shape, got {images[0].shape} and {images[-1].shape} for item {number} "
                f"of {name}. Pass size=... for PIL images, or resize the others."
            )
    if not images:
        raise ValueError(f"A dataset needs at least one image, got none in {name}. Pass a dataset that is not empty.")
    return DecodedArrays(
        np.stack(images), _to_labels(f"the labels of {name}", np.array([int(_to_numpy(each)) for each in labels]))
    )


def _to_image(name: str, image: Any, size: int | None) -> UInt8[np.ndarray, "C H W"]:
    """One image of any kind in 8 bits."""
    if isinstance(image, Mapping) and "bytes" in image:
        image = image["bytes"]
    if hasattr(image, "getexif") or isinstance(image, bytes):
        found = decode_image(image) if isinstance(image, bytes) else convert_image(image)
        if isinstance(found, str):
            raise ValueError(f"Every image must be readable, got {name}: {found}. Remove it.")
        if size is not None:
            return fit_square(found, size)
        return np.ascontiguousarray(np.asarray(found).transpose(2, 0, 1))
    return _to_images(name, _to_numpy(image)[None])[0]
