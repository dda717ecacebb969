"""Lists that name the class of each image of a folder, as Tiny ImageNet and ImageNet publish them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from equistudy.datasets.contents import read_text

__all__ = ["ClassList", "read_class_list"]

WORDNET_ID = re.compile(r"n\d{8}")
HEADER = "ImageId"  # of Kaggle's table
OFFICIAL = "ILSVRC2012_validation_ground_truth.txt"


class ClassList(NamedTuple):
    """The class of each image by name, and the names of all classes in their order."""

    classes: tuple[str, ...]
    order: tuple[str, ...]


def read_class_list(folder: Path, images: Sequence[Path], known: Sequence[str] | None) -> ClassList | None:
    """The classes of images from a list in or beside `folder`; None without a list.

    A line names an image and its class, separated by blanks or a comma; or there is one WordNet id for each image in
    the order of their names. The class is a name, or a number: its place among the `known` names, or in its own right
    where none are known.
    """
    path = _find_list(folder)
    if path is None:
        return None
    lines = [re.split(r"[\s,]+", line.strip()) for line in read_text(path).splitlines() if line.strip()]
    if lines and all(len(words) == 1 and WORDNET_ID.fullmatch(words[0]) for words in lines):
        if len(lines) != len(images):
            raise ValueError(
                f"A list of classes has one line for each image, got {len(lines)} lines in {path} for {len(images)} "
                f"images in {folder}. Copy the images or the list again."
            )
        places = {image: place for place, image in enumerate(sorted(images, key=lambda image: image.name))}
        names = tuple(lines[places[image]][0] for image in images)
        return ClassList(names, tuple(sorted(set(names))))
    found = {Path(words[0]).stem: words[1] for words in lines if len(words) > 1 and words[0] != HEADER}
    absent = [image.name for image in images if image.stem not in found]
    if absent:
        raise ValueError(
            f"A list of classes names every image of its folder, got {path} without {len(absent)} of {len(images)}, "
            f"such as {absent[0]}. Copy the list again, or remove it if the images have no labels."
        )
    return _resolve_numbers(tuple(found[image.stem] for image in images), set(found.values()), known, path)


def _find_list(folder: Path) -> Path | None:
    """The first list that is there. ValueError for the official one, whose numbers need a table to be read."""
    name = folder.name.lower()
    inside, beside = [f"{name}_annotations.txt"], [f"{name}.txt", f"LOC_{name}_solution.csv"]
    synsets = "imagenet_2012_validation_synset_labels.txt"
    places = [*(folder / each for each in (*inside, *beside, synsets))]
    places += [place / each for place in (folder.parent, folder.parent.parent) for each in (*beside, synsets)]
    found = next((path for path in places if path.is_file()), None)
    if found is None and (folder / OFFICIAL).is_file():
        raise ValueError(
            f"Classes are read as WordNet ids or as places among the sorted ids, got {folder / OFFICIAL}, whose "
            "numbers follow another order. Use LOC_val_solution.csv of Kaggle, or sort the images into folders."
        )
    return found


def _resolve_numbers(names: tuple[str, ...], listed: set[str], known: Sequence[str] | None, path: Path) -> ClassList:
    """The classes by name where they may be given by number."""
    if not all(name.isdecimal() for name in listed) or (known is not None and listed <= set(known)):
        return ClassList(names, tuple(sorted(listed)))
    most = max(map(int, listed))
    order = tuple(known) if known is not None else tuple(map(str, range(most + 1)))
    if most >= len(order):
        raise ValueError(
            f"Classes are numbered from 0 to {len(order) - 1}, as there are folders for training, got {most} in "
            f"{path}. Check that the list belongs to these images."
        )
    return ClassList(tuple(order[int(name)] for name in names), order)
