"""What `measure` measures: a network, images, groups and measures, from the words of a command line."""

import ast
import dataclasses
import importlib
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from equistudy.cli.tables import compare_columns
from equistudy.datasets.photographs import Photographs
from equistudy.groups.group import Group
from equistudy.measures.group_measure import GroupMeasure
from equistudy.measuring.measure import Measure
from equistudy.models.checkpoint import Checkpoint
from equistudy.models.custom import Custom
from equistudy.models.model import Model
from equistudy.models.timm_model import Protocol, TimmModel
from equistudy.models.window import Window
from equistudy.recipe import Precision
from equistudy.spec import Spec
from equistudy.study.design import suggest_names
from equistudy.study.trial import Trial

__all__ = [
    "is_trial",
    "parse_measures",
    "parse_model",
    "rebuild_trial",
]

WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".th")
PIXELS = 224
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
    if name.endswith(".py"):
        raise ValueError(
            f"A network in a Python file is named FILE.py:FUNCTION, got {name!r}. Add the function's name."
        )
    if name.startswith("t_"):
        raise ValueError(f"A trial id must be in the results, got {name!r}. Check --results, or add --study FILE.")
    found = TimmModel(name, pretrained="." in name, protocol=Protocol.NATIVE)
    return found if size is None else Window(found, size)


def parse_measures(names: Sequence[str], groups: Sequence[Group], bf16: bool = False) -> tuple[Measure, ...]:
    """The measures by their public names, each under every group if it takes one; in bfloat16 those with a pass."""
    known = _list_known_measures()
    measures: list[Measure] = []
    for name in names or DEFAULT_MEASURES:
        kind = known.get(name.replace("-", "_"))
        if kind is None:
            raise ValueError(f"Unknown measure {name!r}. {suggest_names(name, known)}")
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


def rebuild_trial(columns: Mapping[str, Any], data: str | None, classes: str | None = None) -> Trial:
    """The trial whose columns the results hold; `data` and `classes` say what they do not: where its images lie.

    Raises ValueError where a part of it is not equistudy's own, or where it would be another trial today.
    """
    parts = {name: _rebuild_spec(columns, name) for name in ("model", "dataset", "task", "augmentation", "recipe")}
    if data is not None:
        place = [field.name for field in dataclasses.fields(parts["dataset"]) if field.metadata.get("location")]
        if not place:
            raise ValueError(f"{parts['dataset']} is not read from files, so --data does not apply. Leave --data out.")
        parts["dataset"] = dataclasses.replace(parts["dataset"], **{place[0]: data})
    if classes is not None:
        if not isinstance(parts["dataset"], Photographs):
            raise ValueError(f"--classes numbers the classes of photographs, got {parts['dataset']}. Leave it out.")
        parts["dataset"] = dataclasses.replace(parts["dataset"], classes=classes)
    trial = Trial(seed=columns["seed"], **parts)
    if trial.id != columns["trial"]:
        differs = compare_columns(columns, trial.build_columns())
        told = [f"{name} was {old}, is {new}" for name, (old, new) in differs.items() if name != "trial"]
        raise ValueError(
            f"The trial can no longer be rebuilt as it was trained, got {columns['trial']}, where {'; '.join(told)}. "
            "Use the version, the --data and the --classes it was trained with, or train it again."
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
