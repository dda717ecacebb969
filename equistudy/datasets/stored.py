"""Decoded photographs in a temporary file, of which only the needed parts are in memory.

A split is decoded once per node, image by image. Files that have not been used for a day are removed.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from equistudy.datasets.dataset import Split
from equistudy.datasets.photographs import DecodedSplit, Photographs
from equistudy.datasets.shared import create_stem, remove_unused, write_shared

__all__ = ["StoredImages", "open_stored"]


class StoredImages(NamedTuple):
    """The images of a split in a file, at the indices `found.slots`, and their targets."""

    path: Path
    image_shape: tuple[int, int, int]
    found: DecodedSplit

    def read(self, wanted: Sequence[int]) -> UInt8[np.ndarray, "n 3 S S"]:
        """The images at these indices."""
        images = np.empty((len(wanted), *self.image_shape), np.uint8)
        with self.path.open("rb") as file:
            for image, number in zip(images, wanted, strict=True):
                file.seek(self.found.slots[number] * image.nbytes)
                if file.readinto(image.data) != image.nbytes:
                    raise OSError(f"{self.path} was truncated while it was read")
        return images


def open_stored(dataset: Photographs, split: Split) -> StoredImages:
    """Opens the file of a split, writing it first if it does not exist. Raises OSError if it cannot be written.

    Issues the warnings of decoding, also if the file was decoded earlier.
    """
    stem = create_stem(dataset, split)
    images, table = stem.with_suffix(".pixels"), stem.with_suffix(".json")
    found = _read_table(images, table, int(np.prod(dataset.image_shape)))
    if found is None:
        found = _write_files(dataset, split, images, table)
    found.warn()
    return StoredImages(images, dataset.image_shape, found)


def _read_table(images: Path, table: Path, image_bytes: int) -> DecodedSplit | None:
    """The table that an earlier process wrote; None if it is absent or incomplete."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        if images.stat().st_uid == table.stat().st_uid == os.getuid():
            slots, targets, notes, corrupt = json.loads(table.read_text())
            if images.stat().st_size >= (max(slots) + 1) * image_bytes:
                for path in (images, table):
                    path.touch()
                return DecodedSplit(tuple(slots), tuple(targets), tuple(notes), corrupt)
    return None


def _write_files(dataset: Photographs, split: Split, images: Path, table: Path) -> DecodedSplit:
    """Decodes into a file that is renamed when complete, so that several processes may do so at once."""
    remove_unused()
    with write_shared(images) as file:

        def take(slot: int, image: UInt8[np.ndarray, "3 S S"]) -> None:
            file.seek(slot * image.nbytes)
            file.write(image.data)

        found = dataset.decode_split(split, take)
    with write_shared(table) as file:
        file.write(json.dumps(found).encode())
    return found
