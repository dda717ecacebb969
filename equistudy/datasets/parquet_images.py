"""Images in Parquet files as Hugging Face's datasets lay them out: image{bytes, path} and label."""

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from equistudy.datasets.class_lists import match_classes, read_label_names
from equistudy.datasets.dataset import Split
from equistudy.datasets.parquet_shards import check_complete, find_shards
from equistudy.datasets.photographs import ImageListing, Photographs
from equistudy.datasets.splits import find_split_name

__all__ = ["ParquetImages"]

BATCH_ROWS = 256  # rows that are in memory at once while images are read
LABEL_COLUMNS = ("label", "labels", "fine_label")
MAX_NAMED = 5  # how many classes a message names


class ImageColumns(NamedTuple):
    """What the columns of a Parquet file are called: that of the images, and that of the classes where there is one."""

    image: str
    label: str | None


@dataclass(frozen=True)
class ParquetImages(Photographs):
    """The images of a Parquet file, or of all those in a folder, shard after shard in the order of their names.

    The column `image`, or the only one of its kind, holds compressed bytes and a path; the column `label` (or labels,
    or fine_label), if there is one, classes from 0, or -1 or null where the class is not known. Files whose names
    contain train are for training and those with test, validation or val for testing; of several parts for testing the
    first one with labels is used. Where there is no part for testing, or no file names a part, all are for testing.
    Where names say how many shards there are, a missing one is a ValueError, and so is a class for testing that
    training lacks. Hidden files are skipped.

    Source: the layout that the `Image` feature of Hugging Face's `datasets` writes.
    """

    def list_images(self, split: Split) -> ImageListing:
        """The rows of all shards; one without a path is named by its file and row."""
        found = self._find_used()
        listing = self._list_rows(found.get(split, []))
        if self.classes is not None and listing.labels is not None:
            return ImageListing(listing.names, self._match_labels(listing.labels, found[split][0]))
        if split is Split.TEST and listing.labels is not None and Split.TRAIN in found:
            known = self._list_rows(found[Split.TRAIN]).labels
            absent = [] if known is None else sorted({*listing.labels} - {*known, -1})
            if absent:
                more = ", ..." if len(absent) > MAX_NAMED else ""
                raise ValueError(
                    f"Every test class must occur in training, got class "
                    f"{', '.join(map(str, absent[:MAX_NAMED]))}{more} in {found[split][0]}, which no row for training "
                    "has. Add shards for training, name the file for testing alone, or use labels=False."
                )
        return listing

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the labels: those that Hugging Face's datasets stored, or WordNet ids from a classes.txt."""
        shards = [shard for part in self._find_used().values() for shard in part]
        if not self.labels or not shards:
            return ()
        named = read_label_names(shards[0].parent) or read_label_names(self.root)
        return named or _read_stored_names(shards[0], shards[0].stat().st_mtime_ns)

    def _match_labels(self, labels: tuple[int, ...], shard: Path) -> tuple[int, ...]:
        """The numbers of the labels in the list `classes`, by their names."""
        names = self.class_names
        if max(labels) >= len(names):
            raise ValueError(
                f"Labels are matched with {self.classes} by their names, got label {max(labels)} and {len(names)} "
                f"names for {shard}. Put classes.txt beside it, with the WordNet id of a label on each line."
            )
        known = sorted({label for label in labels if label >= 0})
        numbers = dict(
            zip(known, match_classes([names[each] for each in known], str(self.classes), shard), strict=True)
        )
        return tuple(numbers.get(label, -1) for label in labels)

    def notes(self, split: Split) -> tuple[str, ...]:
        """Which of several parts is used, and how many rows have no label."""
        shards, used = find_shards(self.root), self._find_used()
        told, parts, place = [], shards.get(split, []), self.root.absolute()
        if split is Split.TEST and parts:
            chosen = _name_part(used[split])
            earlier = [_name_part(part) for part in parts[: parts.index(used[split])]]
            if earlier:
                told.append(f"{place}: testing on {chosen}, because {' and '.join(earlier)} has no labels")
            elif self.root.is_dir() and chosen == "train":
                told.append(f"{place}: no test images, so testing on those of train")
        return (*told, *super().notes(split))

    def read_encoded(self, split: Split, chosen: Sequence[int]) -> Iterator[bytes | str]:
        """The bytes of the images; none where a row has none. Only row groups with chosen images are read."""
        wanted: dict[int, bytes] = {}
        start, places, ordered = 0, set(chosen), sorted(chosen)
        for shard, rows in self._list_row_groups(split):
            for group, count in enumerate(rows):
                if bisect_left(ordered, start) < bisect_left(ordered, start + count):
                    wanted |= {
                        start + row: data for row, data in _read_row_group(shard, group) if start + row in places
                    }
                start += count
        return (wanted[index] for index in chosen)

    def part_sizes(self, split: Split) -> list[int]:
        """The row groups of all shards."""
        return [count for _, rows in self._list_row_groups(split) for count in rows]

    def _list_row_groups(self, split: Split) -> list[tuple[Path, tuple[int, ...]]]:
        """Each shard and the rows of its row groups."""
        return [(shard, _count_rows(shard, shard.stat().st_mtime_ns)) for shard in self._find_used()[split]]

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of each shard."""
        stats = ((shard.name, shard.stat()) for shards in self._find_used().values() for shard in shards)
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

    def describe_remedy(self) -> str:
        """What to put there."""
        return "Put there Parquet files with the column image{bytes, path}, such as train-00000-of-00001.parquet."

    def _find_used(self) -> dict[Split, list[Path]]:
        """The shards of each split: of several parts for testing the first with labels, if labels are read."""
        found = {}
        for split, parts in find_shards(self.root).items():
            labelled = [part for part in parts if self._list_rows(part).labels is not None] if len(parts) > 1 else []
            found[split] = (labelled or parts)[0]
        return found

    def _list_rows(self, shards: Sequence[Path]) -> ImageListing:
        """The rows of these shards, of which none may be missing."""
        if self.root.is_dir():
            check_complete(shards)
        parts = [_read_listing(shard, shard.stat().st_mtime_ns, self.labels) for shard in shards]
        names = tuple(name for part in parts for name in part.names)
        labels = tuple(label for part in parts for label in part.labels or [-1] * len(part.names))
        return ImageListing(names, labels if any(label >= 0 for label in labels) else None)


def _name_part(shards: Sequence[Path]) -> str:
    """The name of the split of these shards."""
    return find_split_name((shards[0].stem, shards[0].parent.name)) or "all" if shards else "none"


def _read_row_group(shard: Path, group: int) -> Iterator[tuple[int, bytes]]:
    """Each row of a row group and its compressed image."""
    file, column = _open_shard(shard)
    row = 0
    try:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=[f"{column.image}.bytes"]):
            for value in batch.column(column.image).field("bytes"):
                yield row, value.as_py() or b""
                row += 1
    except OSError as error:
        raise _create_damage_error(f"{shard}, row group {group},", error) from error


def _create_damage_error(what: str, error: Exception) -> ValueError:
    """What is said where pyarrow meets pages that are cut off or cannot be decoded."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return ValueError(f"A shard must be whole, got {what} with: {first}. Copy it again.")


def _open_shard(shard: Path) -> tuple[Any, ImageColumns]:
    """The Parquet file, which must have a column of images, and the names of its columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(shard)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"ParquetImages reads Parquet files, got {shard} with: {first}. Copy it again.") from error

    def holds_images(name: str) -> bool:
        kind = schema.field(name).type
        return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)

    columns = [name for name in schema.names if schema.names.count(name) == 1 and holds_images(name)]
    if "image" not in columns and len(columns) != 1:
        raise ValueError(
            f"ParquetImages reads the column image with bytes and path, got the columns {', '.join(schema.names)} in "
            f"{shard}. Write the file with the Image feature of Hugging Face's datasets."
        )
    label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    return file, ImageColumns("image" if "image" in columns else columns[0], label)


@lru_cache(maxsize=64)
def _read_stored_names(shard: Path, changed: int) -> tuple[str, ...]:
    """The names of the classes in the metadata that Hugging Face's datasets write; none where there are none."""
    file, (_, label) = _open_shard(shard)
    try:
        features = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


@lru_cache(maxsize=4096)
def _count_rows(shard: Path, changed: int) -> tuple[int, ...]:
    """How many rows each row group of a shard has, read once for each time of its change."""
    metadata = _open_shard(shard)[0].metadata
    return tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))


@lru_cache(maxsize=4096)
def _read_listing(shard: Path, changed: int, labels: bool) -> ImageListing:
    """The names and labels of a shard, read once for each time of its change; unknown labels are -1."""
    import pyarrow as pa

    file, (image, label) = _open_shard(shard)
    has_path = file.schema_arrow.field(image).type.get_field_index("path") >= 0
    columns = [label] if labels and label is not None else []
    if columns and not pa.types.is_integer(kind := file.schema_arrow.field(label).type):
        raise ValueError(f"The column {label} holds classes from 0, got {kind} in {shard}. Number the classes.")
    try:
        table = file.read(columns=[*columns, *([f"{image}.path"] if has_path else [])])
    except (pa.ArrowException, OSError) as error:
        raise _create_damage_error(str(shard), error) from error
    rows = range(file.metadata.num_rows)
    paths = table[image].combine_chunks().field("path").to_pylist() if has_path else [None for _ in rows]
    names = tuple(path or f"{shard.name}:{row}" for row, path in zip(rows, paths, strict=True))
    if not columns:
        return ImageListing(names, None)
    found = tuple(-1 if value is None or value < 0 else value for value in table[label].to_pylist())
    return ImageListing(names, found if any(value >= 0 for value in found) else None)
