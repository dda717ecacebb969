"""Which files and folders belong to the training and which to the test split, by their names."""

import re
from collections.abc import Iterable

from equistudy.datasets.dataset import Split

__all__ = ["SPLIT_NAMES", "find_split_name", "is_hidden"]

# in any case of letters; of several parts for testing, the first that has images and labels counts
SPLIT_NAMES = {Split.TRAIN: ("train", "training"), Split.TEST: ("test", "testing", "validation", "valid", "val")}
ALL_NAMES = tuple(name for names in SPLIT_NAMES.values() for name in names)
ARCHIVE_LEFTOVERS = "__MACOSX"  # what macOS puts beside the files of a zip archive


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the data: its name begins with a dot, or macOS put it into an archive."""
    return name.startswith(".") or name == ARCHIVE_LEFTOVERS


def find_split_name(parts: Iterable[str]) -> str | None:
    """The first name of a split that stands in these parts of a path as a word of its own, such as in train-00000."""
    for part in parts:
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in ALL_NAMES:
                return word
    return None
