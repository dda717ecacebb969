"""Lists that assign a class to each image of a folder, as Tiny ImageNet and ImageNet publish them."""

import importlib.util
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from equistudy.datasets.contents import read_text

__all__ = [
    "IMAGENET_LISTS",
    "WORDNET_ID",
    "ClassList",
    "match_classes",
    "read_class_list",
    "read_class_order",
    "read_label_names",
]

WORDNET_ID = re.compile(r"n\d{8}")
WORDNET_LENGTH = 9
MAX_NAMED = 5  # classes named in a message
LABEL_LISTS = ("classes.txt", "wnids.txt")
BACKGROUND = "background"
IMAGENET_LISTS = {  # timm's name of a set of classes: its file in timm, and whether a background class comes first
    "imagenet-1k": ("imagenet_synsets.txt", False),
    "imagenet-1001": ("imagenet_synsets.txt", True),
    "imagenet-12k": ("imagenet12k_synsets.txt", False),
    "imagenet-21k-miil": ("imagenet21k_miil_synsets.txt", False),
    "imagenet-21k-goog": ("imagenet21k_goog_synsets.txt", False),
    "imagenet-22k": ("imagenet22k_synsets.txt", False),
    "imagenet-22k-ms": ("imagenet22k_ms_synsets.txt", False),
}
HEADER = "ImageId"  # first word of Kaggle's table
SYNSET_LABELS = "imagenet_2012_validation_synset_labels.txt"
OFFICIAL = "ILSVRC2012_validation_ground_truth.txt"


class ClassList(NamedTuple):
    """The class name of each image, and the names of all classes in order."""

    classes: tuple[str, ...]
    order: tuple[str, ...]


def read_class_list(folder: Path, images: Sequence[Path], known: Sequence[str] | None) -> ClassList | None:
    """The classes of images from a list in or beside `folder`, or None if there is no list.

    Each line names an image and its class, separated by whitespace or a comma; or the list has one WordNet id per
    image, in the order of the image names. A class is a name, or a number: an index into the `known` names if there are
    any. Without a list, WordNet ids at the start of all file names, as in n01440764_36.JPEG, are used.
    """
    path, official = _find_list(folder, images, known), _find_official(folder)
    if path is None and official is None:
        return _read_names(images)
    if path is None:
        assert official is not None
        return _assign_in_order(_read_official(official), images, official, folder)
    lines = _split_lines(path)
    if lines and all(len(words) == 1 and WORDNET_ID.fullmatch(words[0]) for words in lines):
        return _assign_in_order([words[0] for words in lines], images, path, folder)
    found = {Path(words[0]).stem: words[1] for words in lines if len(words) > 1 and words[0] != HEADER}
    absent = [image.name for image in images if image.stem not in found]
    if absent:
        raise ValueError(
            f"A list of classes must name every image of its folder, got {path} without {len(absent)} of {len(images)} "
            f"images, such as {absent[0]}. Copy the list again, or remove it if the images have no labels."
        )
    return _resolve_numbers(tuple(found[image.stem] for image in images), set(found.values()), known, path)


def _assign_in_order(ids: Sequence[str], images: Sequence[Path], path: Path, folder: Path) -> ClassList:
    """Assigns the ids of a list to the images in the order of their names."""
    if len(ids) != len(images):
        raise ValueError(
            f"A list of classes must have one line per image, got {len(ids)} lines in {path} for {len(images)} images "
            f"in {folder}. Copy the images or the list again."
        )
    places = {image: place for place, image in enumerate(sorted(images, key=lambda image: image.name))}
    names = tuple(ids[places[image]] for image in images)
    return ClassList(names, tuple(sorted(set(names))))


def _read_names(images: Sequence[Path]) -> ClassList | None:
    """The WordNet ids at the start of all image names, or None if one has no id."""
    names = tuple(image.name.partition("_")[0] for image in images)
    if not names or not all(WORDNET_ID.fullmatch(name) for name in names):
        return None
    return ClassList(names, tuple(sorted(set(names))))


def _find_list(folder: Path, images: Sequence[Path], known: Sequence[str] | None) -> Path | None:
    """The first list that exists. A file such as val.txt, which may hold anything, counts only if it parses as one."""
    name, parent = folder.name.lower(), folder.parent
    certain = [folder / f"{name}_annotations.txt"]
    certain += [place / each for place in (folder, parent) for each in (f"LOC_{name}_solution.csv", SYNSET_LABELS)]
    possible = [place / f"{name}.txt" for place in (folder, parent)]
    found = [path for path in certain if path.is_file()]
    return next(iter(found), None) or next((path for path in possible if _lists_classes(path, images, known)), None)


def _lists_classes(path: Path, images: Sequence[Path], known: Sequence[str] | None) -> bool:
    """Whether each line names an image and a number, a WordNet id or a known class, and all images are named."""
    if not path.is_file():
        return False
    with suppress(ValueError):
        lines = _split_lines(path)
        found = {
            Path(words[0]).stem
            for words in lines
            if len(words) == 2 and (words[1].isdecimal() or WORDNET_ID.fullmatch(words[1]) or words[1] in (known or ()))
        }
        return len(found) == len(lines) and all(image.stem in found for image in images)
    return False


def _split_lines(path: Path) -> list[list[str]]:
    return [re.split(r"[\s,]+", line.strip()) for line in read_text(path).splitlines() if line.strip()]


def _find_official(folder: Path) -> Path | None:
    """The list of ImageNet's development kit, in the folder or beside it."""
    places = (folder, folder.parent, folder.parent / "ILSVRC2012_devkit_t12" / "data")
    return next((path for place in places if (path := place / OFFICIAL).is_file()), None)


def _read_official(path: Path) -> list[str]:
    """The WordNet id of each image, looked up by number in the table meta.mat beside the list."""
    table = path.with_name("meta.mat")
    if not table.is_file():
        raise ValueError(
            f"The class numbers in {path} need meta.mat, got no {table}. Copy it there from ILSVRC2012_devkit_t12, "
            "or use Kaggle's LOC_val_solution.csv, or sort the images into folders by class."
        )
    from scipy.io import loadmat

    numbers = read_text(path).split()
    try:
        ids = {str(int(row[0])): str(row[1]) for row in loadmat(table, squeeze_me=True)["synsets"]}
        return [ids[number] for number in numbers]
    except Exception as error:  # scipy raises many types of error for damaged files
        raise ValueError(
            f"meta.mat must hold synsets with their numbers and WordNet ids, got {table} with {type(error).__name__}: "
            f"{error} for {path}. Copy both again."
        ) from error


def _resolve_numbers(names: tuple[str, ...], listed: set[str], known: Sequence[str] | None, path: Path) -> ClassList:
    """The list with class numbers replaced by class names."""
    if not all(name.isdecimal() for name in listed) or (known is not None and listed <= set(known)):
        return ClassList(names, tuple(sorted(listed)))
    most = max(map(int, listed))
    order = tuple(known) if known is not None else tuple(map(str, range(most + 1)))
    if most >= len(order):
        raise ValueError(
            f"Classes must be numbered from 0 to {len(order) - 1}, one per training folder, got {most} in "
            f"{path}. Check that the list belongs to these images."
        )
    return ClassList(tuple(order[int(name)] for name in names), order)


def read_class_order(source: str) -> tuple[str, ...]:
    """The names of a network's classes in the order of its outputs.

    `source` is the name of one of the `IMAGENET_LISTS`, whose WordNet ids come with timm, or a file: text with one
    class per line (of a line that starts with a WordNet id, only the id), or JSON, a list or an object from numbers to
    names.
    """
    if source in IMAGENET_LISTS:
        return _read_imagenet_ids(source)
    path = Path(source)
    text = read_text(path)
    order = _parse_json(text, path) if path.suffix == ".json" else [line.strip() for line in text.splitlines()]
    names = [name for name in order if name]
    if names and all(WORDNET_ID.match(name) for name in names):
        names = [name[:WORDNET_LENGTH] for name in names]
    twins = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if not names or twins:
        got = f"{twins[0]} twice" if twins else "none"
        raise ValueError(f"A list of classes must name each class once, got {got} in {path}. Put one class per line.")
    return tuple(names)


def match_classes(names: Sequence[str], source: str, place: Path) -> tuple[int, ...]:
    """The indices of these classes in the list `read_class_order(source)`. Raises ValueError for absent classes."""
    order = read_class_order(source)
    numbers = {name: number for number, name in enumerate(order)}
    absent = sorted({name for name in names if name not in numbers})
    if absent:
        more = f" and {len(absent) - MAX_NAMED} more" if len(absent) > MAX_NAMED else ""
        raise ValueError(
            f"Every class must be one of the {len(order)} in {source}, got {', '.join(absent[:MAX_NAMED])}{more} in "
            f"{place}. Name the list that contains these classes."
        )
    return tuple(numbers[name] for name in names)


def read_label_names(folder: Path) -> tuple[str, ...]:
    """The WordNet ids of labels 0, 1, 2 ..., from the lines of classes.txt or wnids.txt; empty if neither exists."""
    path = next((path for name in LABEL_LISTS if (path := folder / name).is_file()), None)
    if path is None:
        return ()
    found = [WORDNET_ID.search(line) for line in read_text(path).splitlines() if line.strip()]
    return tuple(match[0] for match in found if match) if all(found) else ()


def _parse_json(text: str, path: Path) -> list[str]:
    """The names in a JSON list, or in an object from numbers to names or to lists whose first entry is the name."""
    try:
        found = json.loads(text)
        values = [found[str(number)] for number in range(len(found))] if isinstance(found, dict) else list(found)
        return [str(value[0] if isinstance(value, list) else value) for value in values]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(
            "A JSON list of classes must be a list of names, or an object from 0, 1, 2 ... to names, got "
            f"{path} with {type(error).__name__}: {error}. Rewrite it in one of these forms."
        ) from error


def _read_imagenet_ids(name: str) -> tuple[str, ...]:
    """The WordNet ids of a list that ships with timm, which is located but not imported."""
    file, background = IMAGENET_LISTS[name]
    found = importlib.util.find_spec("timm")
    if found is None or not found.submodule_search_locations:
        raise ValueError(
            f"The class list {name} ships with timm, which is not installed. Install it: pip install timm."
        )
    ids = read_text(Path(found.submodule_search_locations[0]) / "data" / "_info" / file).split()
    return (BACKGROUND, *ids) if background else tuple(ids)
