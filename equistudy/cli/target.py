"""What `measure` measures: a network, images, groups and measures, from the words of a command line."""

import ast
import dataclasses
import importlib
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.cli.tables import compare_columns
from equistudy.datasets.dataset import Dataset, Split
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.image_folder import ImageFolder
from equistudy.datasets.parquet_images import ParquetImages
from equistudy.groups.finite import DihedralGroup, Reflection
from equistudy.groups.group import Group
from equistudy.groups.one_parameter import Rotation, Scaling, Shear
from equistudy.groups.subpixel import SubpixelTranslation
from equistudy.groups.translation import Border, Translation
from equistudy.measures.group_measure import GroupMeasure
from equistudy.measuring.measure import Measure
from equistudy.models.checkpoint import Checkpoint
from equistudy.models.custom import Custom
from equistudy.models.model import Model
from equistudy.models.timm_model import Protocol, TimmModel
from equistudy.models.window import Window
from equistudy.recipe import Precision, Recipe
from equistudy.spec import Spec
from equistudy.study.design import suggest_names
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

__all__ = [
    "DEAD_LEAVES",
    "build_trial",
    "check_classes",
    "describe_random_weights",
    "is_trial",
    "parse_dataset",
    "parse_groups",
    "parse_measures",
    "parse_model",
    "rebuild_trial",
]

WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
DEAD_LEAVES = "dead-leaves"
IMAGES, PIXELS = 128, 224
SMALL_SIZE = 32  # pixels, below which the smallest dead leaves are larger shares of the image
MAX_SHIFT = 32  # pixels: whole cells of all stages of most networks
GROUP_NAMES = ("translation", "circular-translation", "rotation", "scaling", "shear", "dihedral", "reflection")
DEFAULT_MEASURES = ("within_correlation", "between_correlation", "shift_consistency")


def is_trial(target: str) -> bool:
    """Whether the target is a trial of the results, by its id or a beginning of it."""
    return re.fullmatch(r"t_[0-9a-f]+", target) is not None


def parse_model(target: str, model: str | None, size: int | None, stages: tuple[str, ...]) -> Model:
    """The network of a target: FILE.py:FUNCTION, a file of weights for a `model`, or timm's NAME or NAME.TAG."""
    if Path(target).suffix in WEIGHTS_SUFFIXES:
        if model is None:
            raise ValueError(
                f"A weights file needs an architecture, got only {target}. Add --model NAME (of timm) or "
                "--model FILE.py:FUNCTION."
            )
        inner = _build_architecture(model, size, stages)
        if isinstance(inner, Window):
            return dataclasses.replace(inner, model=Checkpoint(inner.model, target))
        return Checkpoint(inner, target)
    if model is not None:
        raise ValueError(
            f"--model is the architecture for a weights file ({', '.join(WEIGHTS_SUFFIXES)}), got {target!r}. "
            "Name the file, or leave --model out."
        )
    return _build_architecture(target, size, stages)


def _build_architecture(name: str, size: int | None, stages: tuple[str, ...]) -> Model:
    path, colon, function = name.rpartition(":")
    if colon and path.endswith(".py"):
        return Window(Custom(function, path, stages), size or PIXELS)
    if stages:
        raise ValueError(
            f"--stages works only with FILE.py:FUNCTION, got {name!r}. Stages of timm networks are found automatically."
        )
    found = TimmModel(name, pretrained="." in name, protocol=Protocol.NATIVE)
    return found if size is None else Window(found, size)


def parse_dataset(data: str, images: int | None, model: Model, labelled: bool) -> Dataset:
    """The images at the size that a model wants: dead leaves, a Parquet file or folder, or a folder of images."""
    size = model.preprocessing(DeadLeaves()).image_size or PIXELS
    if data == DEAD_LEAVES:
        leaves = DeadLeaves(size=max(size, SMALL_SIZE), test_images=images or IMAGES)
        smallest = max(leaves.radii[0], 1 / (2 * size))  # no disk is smaller than a pixel
        return dataclasses.replace(leaves, size=size, radii=(smallest, leaves.radii[1]))
    path = Path(data)
    if not path.exists():
        raise ValueError(
            f"--data must be an image folder, a Parquet file or folder, or {DEAD_LEAVES}, got {data!r}, which does "
            "not exist. Check the path."
        )
    parquet = path.suffix == ".parquet" or any(next(path.glob(name), None) for name in ("*.parquet", "data/*.parquet"))
    found = (ParquetImages if parquet else ImageFolder)(data, size, labels=labelled)
    there = len(found.list_images(Split.TEST).names)
    return dataclasses.replace(found, test_size=images or min(IMAGES, there) or None)


def describe_random_weights(model: Model) -> str | None:
    """That a network of timm has random weights, where it has."""
    inner = model.model if isinstance(model, Window) else model
    if not isinstance(inner, TimmModel) or inner.pretrained:
        return None
    return f"{inner.name} has no tag, so its weights are random; NAME.TAG is a trained network"


def check_classes(model: Model, dataset: Dataset) -> None:
    """ValueError where timm would put a random classifier in the place of the trained one."""
    inner = model.model if isinstance(model, Window) else model
    if not isinstance(inner, TimmModel) or not inner.pretrained:
        return
    from equistudy.networks.timm_network import get_native_num_classes

    classes = get_native_num_classes(inner.name)
    if classes != dataset.num_classes:
        raise ValueError(
            f"A trained classifier can only be scored on images with its own classes, got {classes} classes of "
            f"{inner.name} and {dataset.num_classes} of {dataset}. Measure its weights file instead: measure FILE "
            f"--model {inner.name.partition('.')[0]}"
        )


def build_trial(model: Model, dataset: Dataset) -> Trial:
    """The trial that takes the network as it is."""
    return Trial(model, dataset, Classification(), NoAugmentation(), Recipe(epochs=0), 0)


def parse_groups(names: Sequence[str], room: int) -> tuple[Group, ...]:
    """The groups by name and sizes, such as translation:4, translation:1,32 or rotation:30,90.

    Without names: shifts by 1 pixel and by the largest power of 2 that fits the `room` (32 at most), and quarter turns.
    """
    if not names:
        shift = min(MAX_SHIFT, 2 ** max(0, room.bit_length() - 1))
        return Translation(shift, pixels=tuple(dict.fromkeys((1, shift)))), Rotation()
    return tuple(_parse_group(name) for name in names)


def _parse_group(text: str) -> Group:
    name, _, listed = text.partition(":")
    try:
        sizes = tuple(float(part) for part in listed.split(",")) if listed else ()
    except ValueError as error:
        raise ValueError(
            f"A group is written NAME:SIZE,SIZE with numbers as sizes, got {text!r}. Try {name}:4."
        ) from error
    if name in ("translation", "circular-translation"):
        border = Border.CIRCULAR if name.startswith("circular") else Border.WINDOW
        if not all(size.is_integer() for size in sizes):
            return SubpixelTranslation(sizes, border)
        whole = tuple(int(size) for size in sizes) or (4,)
        return Translation(max(map(abs, whole)), border, whole if len(whole) > 1 else None)
    if name == "rotation":
        return Rotation(sizes) if sizes else Rotation()
    if name == "scaling":
        return Scaling(sizes) if sizes else Scaling()
    if name == "shear":
        return Shear(sizes) if sizes else Shear()
    if name in GROUP_NAMES and not sizes:
        return DihedralGroup() if name == "dihedral" else Reflection()
    raise ValueError(f"A group is one of {', '.join(GROUP_NAMES)}, got {text!r}. {suggest_names(name, GROUP_NAMES)}")


def parse_measures(names: Sequence[str], groups: Sequence[Group], bf16: bool = False) -> tuple[Measure, ...]:
    """The measures by their public names, each under every group if it takes one; in bfloat16 those with a pass."""
    known = _list_known_measures()
    measures: list[Measure] = []
    for name in names or DEFAULT_MEASURES:
        kind = known.get(name.replace("-", "_"))
        if kind is None:
            raise ValueError(f"Unknown measure {name!r}. {suggest_names(name, known)} There are: {', '.join(known)}.")
        grouped = "group" in {field.name for field in dataclasses.fields(kind)}
        measures += [kind(group) for group in groups] if grouped else [kind()]  # type: ignore[call-arg]
    if bf16:
        measures = [
            dataclasses.replace(each, precision=Precision.BFLOAT16) if isinstance(each, GroupMeasure) else each
            for each in measures
        ]
    return tuple(dict.fromkeys(measures))


def _import_package() -> Any:
    """The package itself, which has the words of a study by name."""
    return importlib.import_module(__name__.partition(".")[0])


def _list_known_measures() -> dict[str, type[Measure]]:
    """Every measure among the words of a study, by its public name."""
    words = (
        getattr(_import_package(), word)
        for word, module in _import_package()._MODULES.items()
        if ".measures." in module
    )
    kinds = (word for word in words if isinstance(word, type) and issubclass(word, Measure) and word is not Measure)
    return {kind.name: kind for kind in kinds}


def rebuild_trial(columns: Mapping[str, Any], data: str | None) -> Trial:
    """The trial whose columns the results hold; `data` says where its images lie, which they do not.

    Raises ValueError where a part of it is not equistudy's own, or where it would be another trial today.
    """
    parts = {name: _rebuild_spec(columns, name) for name in ("model", "dataset", "task", "augmentation", "recipe")}
    if data is not None:
        place = [field.name for field in dataclasses.fields(parts["dataset"]) if field.metadata.get("location")]
        if not place:
            raise ValueError(f"{parts['dataset']} is not read from files, so --data does not apply. Leave --data out.")
        parts["dataset"] = dataclasses.replace(parts["dataset"], **{place[0]: data})
    trial = Trial(seed=columns["seed"], **parts)
    if trial.id != columns["trial"]:
        differs = compare_columns(columns, trial.build_columns())
        told = [f"{name} was {old}, is {new}" for name, (old, new) in differs.items() if name != "trial"]
        raise ValueError(
            f"The trial can no longer be rebuilt as it was trained, got {columns['trial']}, where {'; '.join(told)}. "
            "Use the version and the data it was trained with, or train it again."
        )
    return trial


def _rebuild_spec(columns: Mapping[str, Any], name: str) -> Any:
    """The spec that begins at a column."""
    kind = getattr(_import_package(), str(columns[name]).partition("(")[0], None)
    if f"{name}.code" in columns or not (isinstance(kind, type) and issubclass(kind, Spec)):
        raise ValueError(
            f"A stored trial can only be rebuilt from equistudy's own components, got {name}={columns[name]}. "
            "Name the study that defines this one: --study STUDY."
        )
    hints, values = get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        column = f"{name}.{field.name}"
        if field.name in hints and column in columns:
            values[field.name] = _parse_value(columns, column, hints[field.name])
    if name == "dataset" and any(field.name == "path" for field in dataclasses.fields(kind)):
        values["path"] = "."  # --data says where
    return kind(**values)


def _parse_value(columns: Mapping[str, Any], column: str, hint: Any) -> Any:
    """A field's value from its column: a spec, an enum, a tuple of numbers, or as it is."""
    value, options = columns[column], (hint, *get_args(hint))
    if f"{column}.revision" in columns:
        return _rebuild_spec(columns, column)
    for option in options:
        if isinstance(option, type) and issubclass(option, Enum) and value is not None:
            return option(value)
    if isinstance(value, str) and value.startswith("("):
        try:
            found = ast.literal_eval(value)
        except (ValueError, SyntaxError) as error:
            raise ValueError(
                f"The results do not hold the full value of {column}={value}. Name the study: --study STUDY."
            ) from error
        return found if isinstance(found, tuple) else (found,)
    return value
