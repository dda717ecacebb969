"""Recognises the training and test splits by the names of files and folders."""

import re
from collections.abc import Iterable

from equistudy.datasets.dataset import Split

__all__ = ["SPLIT_NAMES", "find_split_name", "is_hidden"]

# case-insensitive; of several test splits, the first that has images and labels is used
SPLIT_NAMES = {Split.TRAIN: ("train", "training"), Split.TEST: ("test", "testing", "validation", "valid", "val")}
ALL_NAMES = tuple(name for names in SPLIT_NAMES.values() for name in names)
ARCHIVE_LEFTOVERS = "__MACOSX"  # added to zip archives by macOS


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not part of the data: its name starts with a dot, or macOS added it to an archive."""
    return name.startswith(".") or name == ARCHIVE_LEFTOVERS


def find_split_name(parts: Iterable[str]) -> str | None:
    """The first split name that occurs as a whole word in these parts of a path, as in train-00000."""
    for part in parts:
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in ALL_NAMES:
                return word
    return None
