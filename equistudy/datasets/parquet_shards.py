"""Groups the Parquet files of a folder into the shards of each split, and checks that none is missing."""

import re
from collections.abc import Sequence
from pathlib import Path

from equistudy.datasets.dataset import Split
from equistudy.datasets.splits import SPLIT_NAMES, find_split_name, is_hidden

__all__ = ["check_complete", "find_shards"]

SUFFIX = ".parquet"
SHARD = re.compile(r"(?P<set>.+)-(?P<number>\d+)-of-(?P<total>\d+)(?:-[0-9a-f]+)?")
MAX_NAMED = 5  # files named in a message


def find_shards(root: Path) -> dict[Split, list[list[Path]]]:
    """The shards of the training split, if there is one, and of each test split, in order.

    Shards lie in the folder itself, in data/, or in one folder per split. A shard that is itself a folder, as Spark
    writes them, stands for the files in it. The split is a word in the name of the file or its folder, in upper or
    lower case. If no shard names a split, or only test splits are named, all shards are for testing.
    """
    if root.is_file():
        return {Split.TEST: [[root]]}
    if not root.is_dir():
        raise ValueError(f"ParquetImages needs an existing file or folder, got {root}. Check the path.")
    found = _list_shards(root)
    named: dict[str | None, list[Path]] = {}
    for shard in found:
        parts = shard.relative_to(root).parts
        named.setdefault(find_split_name((parts[-1].removesuffix(SUFFIX), *parts[:-1])), []).append(shard)
    if set(named) <= {None}:
        return {Split.TEST: [found]} if found else {}
    if None in named:
        raise ValueError(
            f"Either all shards or none must name their split, got {_abbreviate(named[None], root)} beside "
            f"{_abbreviate([shard for name, shards in named.items() if name for shard in shards], root)} in {root}. "
            "Name them train-..., validation-... or test-..., or move them."
        )
    splits = {split: [named[name] for name in names if name in named] for split, names in SPLIT_NAMES.items()}
    if not splits[Split.TEST]:
        return {Split.TEST: splits[Split.TRAIN]}
    return {split: parts for split, parts in splits.items() if parts}


def check_complete(shards: Sequence[Path]) -> None:
    """Raises ValueError if a shard is missing whose existence follows from the names of the others."""
    sets: dict[tuple[Path, str], dict[int, set[int]]] = {}
    for shard in shards:
        match = SHARD.fullmatch(shard.name.removesuffix(SUFFIX))
        if match:
            totals = sets.setdefault((shard.parent, match["set"]), {})
            totals.setdefault(int(match["total"]), set()).add(int(match["number"]))
    for (folder, name), by_total in sets.items():
        if len(by_total) > 1:
            told = " and ".join(map(str, sorted(by_total)))
            raise ValueError(
                f"The shards of a dataset must agree on their number, got {name}-... of {told} in {folder}. Remove "
                "those of an older download."
            )
        ((total, numbers),) = by_total.items()
        missing = [number for number in range(total) if number not in numbers]
        if missing:
            raise ValueError(
                f"All shards of a dataset must be present, got {folder} without {len(missing)} of {total} {name}-... : "
                f"number {', '.join(map(str, missing[:MAX_NAMED]))}. Copy them there."
            )


def _list_shards(root: Path) -> list[Path]:
    """The Parquet files that are not hidden, from the first folder level that has any."""
    for pattern in ("*", "data/*", "*/*"):
        found = [path for path in sorted(root.glob(pattern)) if path.suffix == SUFFIX and _is_visible(path, root)]
        shards = [shard for path in found for shard in (_list_inside(path) if path.is_dir() else [path])]
        folders = sorted({path.parent for path in found})
        if pattern == "*/*" and len(folders) > 1 and not all(find_split_name((each.name,)) for each in folders):
            names = _abbreviate(folders, root)
            raise ValueError(f"A folder must hold the Parquet files of one dataset, got {names} in {root}. Name one.")
        if shards:
            return shards
    return []


def _list_inside(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob(f"*{SUFFIX}")) if path.is_file() and _is_visible(path, folder)]
    if not found:
        raise ValueError(
            f"A folder named *.parquet must contain Parquet files, got none in {folder}. Copy it again, or remove it."
        )
    return found


def _is_visible(path: Path, root: Path) -> bool:
    """Whether no part of the path is hidden. Names with a leading underscore are hidden in Spark and Hive."""
    return not any(is_hidden(part) or part.startswith("_") for part in path.relative_to(root).parts)


def _abbreviate(paths: Sequence[Path], root: Path) -> str:
    more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
    return f"{', '.join(path.relative_to(root).as_posix() for path in paths[:MAX_NAMED])}{more}"
