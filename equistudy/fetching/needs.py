"""Finds the datasets and pretrained weights that a study reads from disk, anywhere in its specs."""

import dataclasses
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from equistudy.datasets.folder import FolderDataset
from equistudy.fetching.fetch import DatasetRequest
from equistudy.fetching.registry import DATASETS, MANUAL_DATASETS, ManualDataset
from equistudy.models.timm_model import TimmModel

__all__ = ["Needs", "find_needs"]


class Needs(NamedTuple):
    """What can be fetched, what is missing and must be downloaded by hand, and the names of pretrained weights."""

    datasets: tuple[DatasetRequest, ...]
    manual: tuple[ManualDataset, ...]
    weights: tuple[str, ...]


def find_needs(specs: Iterable[Any], into: Path | None) -> Needs:
    """The files that these specs read.

    A dataset that names its own folder is fetched to it, others to `into`, or if that is None to their default folder.

    >>> import equistudy as eq
    >>> find_needs([eq.TimmModel("resnet50.a1_in1k", pretrained=True)], None).weights
    ('resnet50.a1_in1k',)
    """
    requests: dict[tuple[str, Path], DatasetRequest] = {}
    manual: dict[str, ManualDataset] = {}
    weights: dict[str, None] = {}
    for spec in _walk(tuple(specs), set()):
        if isinstance(spec, TimmModel) and spec.pretrained and spec.weights is None:
            weights[spec.name] = None
        for known in MANUAL_DATASETS.values():
            if type(spec) is known.reader and not _is_found(known, spec):
                manual[known.name] = known
        for dataset in DATASETS.values():
            if type(spec) is dataset.reader:
                folder = _get_folder(spec, dataset.name, into)
                names = _get_names(spec)
                before = requests.get((dataset.name, folder))
                if before is not None:
                    names = None if None in (names, before.names) else (names or frozenset()) | (before.names or set())
                requests[dataset.name, folder] = DatasetRequest(dataset, folder, names)
    return Needs(tuple(requests.values()), tuple(manual.values()), tuple(weights))


def _get_folder(spec: Any, name: str, into: Path | None) -> Path:
    own = getattr(spec, "folder", None) or getattr(spec, "path", None)
    return into / name if into is not None and own is None else Path(spec.root)


def _get_names(spec: Any) -> frozenset[str] | None:
    """The files that the spec reads, or None if it does not say."""
    return frozenset(spec.list_layouts()[0].names) if isinstance(spec, FolderDataset) else None


def _is_found(known: ManualDataset, spec: Any) -> bool:
    try:
        known.find(str(spec.root))
    except ValueError:
        return False
    return True


def _walk(value: Any, seen: set[int]) -> Iterator[Any]:
    """Every spec in a value, including those in fields, tuples and mappings."""
    if isinstance(value, (str, bytes, Enum)) or id(value) in seen:
        return
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        seen.add(id(value))
        yield value
        for field in dataclasses.fields(value):
            yield from _walk(getattr(value, field.name), seen)
    elif isinstance(value, dict):
        yield from _walk(tuple(value.values()), seen)
    elif isinstance(value, (tuple, list, set, frozenset)):
        for part in value:
            yield from _walk(part, seen)
