"""Images in Parquet files in the layout of Hugging Face datasets: image{bytes, path} and label."""

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

BATCH_ROWS = 256  # rows in memory at a time while images are read
LABEL_COLUMNS = ("label", "labels", "fine_label")
MAX_NAMED = 5  # classes named in a message


class ImageColumns(NamedTuple):
    """The names of the columns of a Parquet file: the images, and the classes if there are any."""

    image: str
    label: str | None


@dataclass(frozen=True)
class ParquetImages(Photographs):
    """The images of a Parquet file, or of all Parquet files in a folder, in the order of the file names.

    The column `image`, or the only image column under another name, holds compressed bytes and a path. The column
    `label` (or labels, or fine_label), if present, holds classes from 0, and -1 or null for an unknown class. Files
    with train in their name are for training, those with test, validation or val for testing; of several test splits,
    the first with labels is used. If there is no test split, or no file names a split, all images are for testing. A
    missing shard of a numbered set is a ValueError, and so is a test class that is absent from training. Hidden files
    are skipped.

    Source: the layout written by the `Image` feature of Hugging Face's `datasets`.

    >>> import equistudy as eq
    >>> eq.ParquetImages("shards", size=64).image_shape
    (3, 64, 64)
    """

    def list_images(self, split: Split) -> ImageListing:
        """The rows of all shards; a row without a path is named by its file and number."""
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
                    f"{', '.join(map(str, absent[:MAX_NAMED]))}{more} in {found[split][0]} without training images. "
                    "Add training shards, pass the test file alone, or use labels=False."
                )
        return listing

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the labels, as stored by Hugging Face's datasets or from WordNet ids in classes.txt."""
        shards = [shard for part in self._find_used().values() for shard in part]
        if not self.labels or not shards:
            return ()
        named = read_label_names(shards[0].parent) or read_label_names(self.root)
        return named or _read_stored_names(shards[0], shards[0].stat().st_mtime_ns)

    def _match_labels(self, labels: tuple[int, ...], shard: Path) -> tuple[int, ...]:
        """The indices of the labels in the list `classes`, matched by name."""
        names = self.class_names
        if max(labels) >= len(names):
            raise ValueError(
                f"Every label needs a name to be matched with {self.classes}, got label {max(labels)} and "
                f"{len(names)} names for {shard}. Add a file classes.txt beside it, with one WordNet id per line."
            )
        known = sorted({label for label in labels if label >= 0})
        numbers = dict(
            zip(known, match_classes([names[each] for each in known], str(self.classes), shard), strict=True)
        )
        return tuple(numbers.get(label, -1) for label in labels)

    def notes(self, split: Split) -> tuple[str, ...]:
        """Which of several test splits is used, and how many rows have no label."""
        shards, used = find_shards(self.root), self._find_used()
        told, parts, place = [], shards.get(split, []), self.root.absolute()
        if split is Split.TEST and parts:
            chosen = _name_part(used[split])
            earlier = [_name_part(part) for part in parts[: parts.index(used[split])]]
            if earlier:
                told.append(f"{place}: testing on {chosen}, because {' and '.join(earlier)} has no labels")
            elif self.root.is_dir() and chosen == "train":
                told.append(f"{place}: no test images, testing on the training images")
        return (*told, *super().notes(split))

    def read_encoded(self, split: Split, chosen: Sequence[int]) -> Iterator[bytes | str]:
        """The bytes of the images, or why one cannot be read. Reads only row groups with chosen images."""
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
        """The sizes of the row groups of all shards."""
        return [count for _, rows in self._list_row_groups(split) for count in rows]

    def _list_row_groups(self, split: Split) -> list[tuple[Path, tuple[int, ...]]]:
        """Each shard with the sizes of its row groups."""
        return [(shard, _count_rows(shard, shard.stat().st_mtime_ns)) for shard in self._find_used()[split]]

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and modification time of each shard."""
        stats = ((shard.name, shard.stat()) for shards in self._find_used().values() for shard in shards)
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

    def describe_remedy(self) -> str:
        """The last sentence of an error about missing files."""
        return "Put Parquet files with a column image{bytes, path} there, such as train-00000-of-00001.parquet."

    def _find_used(self) -> dict[Split, list[Path]]:
        """The shards of each split; of several test splits, the first with labels if labels are read."""
        found = {}
        for split, parts in find_shards(self.root).items():
            labelled = [part for part in parts if self._list_rows(part).labels is not None] if len(parts) > 1 else []
            found[split] = (labelled or parts)[0]
        return found

    def _list_rows(self, shards: Sequence[Path]) -> ImageListing:
        """The rows of these shards. Raises ValueError if one is missing."""
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
    """The index of each row of a row group, and its compressed image."""
    file, column = _open_shard(shard)
    row = 0
    try:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=[f"{column.image}.bytes"]):
            for value in batch.column(column.image).field("bytes"):
                yield row, value.as_py() or b""
                row += 1
    except OSError as error:
        raise _create_damage_error(f"{shard}, row group {group}", error) from error


def _create_damage_error(what: str, error: Exception) -> ValueError:
    """The error for truncated or undecodable pages, for which pyarrow raises many types."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return ValueError(f"Cannot read {what}, which is damaged or truncated: {first}. Copy it again.")


def _open_shard(shard: Path) -> tuple[Any, ImageColumns]:
    """The Parquet file and the names of its columns. Raises ValueError if there is no image column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(shard)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"Cannot read {shard} as Parquet: {first}. Copy it again.") from error

    def holds_images(name: str) -> bool:
        kind = schema.field(name).type
        return bool(pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0)

    columns = [name for name in schema.names if schema.names.count(name) == 1 and holds_images(name)]
    if "image" not in columns and len(columns) != 1:
        raise ValueError(
            f"ParquetImages needs a column image with bytes and path, got the columns {', '.join(schema.names)} in "
            f"{shard}. Write the file with the Image feature of Hugging Face's datasets."
        )
    label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    return file, ImageColumns("image" if "image" in columns else columns[0], label)


@lru_cache(maxsize=64)
def _read_stored_names(shard: Path, changed: int) -> tuple[str, ...]:
    """The class names in the metadata that Hugging Face's datasets writes; empty if there are none."""
    file, (_, label) = _open_shard(shard)
    try:
        features = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


@lru_cache(maxsize=4096)
def _count_rows(shard: Path, changed: int) -> tuple[int, ...]:
    """The sizes of the row groups of a shard, read again only after it has changed."""
    metadata = _open_shard(shard)[0].metadata
    return tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))


@lru_cache(maxsize=4096)
def _read_listing(shard: Path, changed: int, labels: bool) -> ImageListing:
    """The names and labels of a shard, read again only after it has changed; unknown labels are -1."""
    import pyarrow as pa

    file, (image, label) = _open_shard(shard)
    has_path = file.schema_arrow.field(image).type.get_field_index("path") >= 0
    columns = [label] if labels and label is not None else []
    if columns and not pa.types.is_integer(kind := file.schema_arrow.field(label).type):
        raise ValueError(f"The column {label} must hold integers from 0, got {kind} in {shard}. Number the classes.")
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
