"""Images in Parquet files as Hugging Face's datasets lay them out: image{bytes, path} and label."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from equistudy.datasets.dataset import Split
from equistudy.datasets.photographs import SPLIT_NAMES, ImageListing, Photographs

__all__ = ["ParquetImages"]

BATCH_ROWS = 256  # rows that are in memory at once while images are read


@dataclass(frozen=True)
class ParquetImages(Photographs):
    """The images of a Parquet file, or of all those in a folder, shard after shard in the order of their names.

    The column `image` holds compressed bytes and a path; the column `label`, if there is one, classes from 0, or -1
    where they are not told. In a folder, files whose names begin with train are for training and those with test, or
    else validation or val, for testing; where one of the two is missing, all are for testing.

    Source: the layout that the `Image` feature of Hugging Face's `datasets` writes.
    """

    def list_images(self, split: Split) -> ImageListing:
        """The rows of all shards; one without a path has the file and its place for a name."""
        parts = [_read_listing(shard, shard.stat().st_mtime_ns) for shard in self._find_shards().get(split, [])]
        labels = tuple(label for part in parts for label in part.labels or ())
        names = tuple(name for part in parts for name in part.names)
        return ImageListing(names, labels if len(labels) == len(names) > 0 else None)

    def read_encoded(self, split: Split, chosen: Sequence[int]) -> Iterator[bytes]:
        """The bytes of the column `image`; none where a row has none. Only row groups with such images are read."""
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
        return [(shard, _count_rows(shard, shard.stat().st_mtime_ns)) for shard in self._find_shards()[split]]

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of each shard."""
        stats = ((shard.name, shard.stat()) for shards in self._find_shards().values() for shard in shards)
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

    def describe_remedy(self) -> str:
        """What to put there."""
        return "Put there Parquet files with the column image{bytes, path}, such as train-00000-of-00001.parquet."

    def _find_shards(self) -> dict[Split, list[Path]]:
        """The shards of each split: of both, or all for testing."""
        if self.root.is_file():
            return {Split.TEST: [self.root]}
        if not self.root.is_dir():
            raise ValueError(f"ParquetImages reads a file or a folder, got {self.root}, which is neither. Name one.")
        shards = sorted(self.root.glob("*.parquet")) or sorted(self.root.glob("data/*.parquet"))
        found = {}
        for split, names in SPLIT_NAMES.items():
            named = ([shard for shard in shards if shard.name.startswith(name)] for name in names)
            found[split] = next(filter(None, named), [])
        return found if all(found.values()) else {Split.TEST: shards}


def _read_row_group(shard: Path, group: int) -> Iterator[tuple[int, bytes]]:
    """Each row of a row group and its compressed image."""
    row = 0
    try:
        for batch in _open_shard(shard).iter_batches(BATCH_ROWS, row_groups=[group], columns=["image.bytes"]):
            for value in batch.column("image").field("bytes"):
                yield row, value.as_py() or b""
                row += 1
    except OSError as error:
        raise _create_damage_error(f"{shard}, row group {group},", error) from error


def _create_damage_error(what: str, error: OSError) -> ValueError:
    """What is said where pyarrow meets pages that are cut off or cannot be decoded."""
    return ValueError(f"A shard must be whole, got {what} with: {str(error).splitlines()[0]}. Copy it again.")


def _open_shard(shard: Path) -> Any:
    """The Parquet file, which must have the column `image`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(shard)
    except pa.ArrowInvalid as error:
        raise ValueError(f"ParquetImages reads Parquet files, got {shard} with: {error}. Copy it again.") from error
    columns = file.schema_arrow
    image = columns.field("image").type if "image" in columns.names else None
    if image is None or not pa.types.is_struct(image) or image.get_field_index("bytes") < 0:
        raise ValueError(
            f"ParquetImages reads the column image with bytes and path, got the columns {', '.join(columns.names)} in "
            f"{shard}. Write the file with the Image feature of Hugging Face's datasets."
        )
    return file


@lru_cache(maxsize=4096)
def _count_rows(shard: Path, changed: int) -> tuple[int, ...]:
    """How many rows each row group of a shard has, read once for each time of its change."""
    metadata = _open_shard(shard).metadata
    return tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))


@lru_cache(maxsize=4096)
def _read_listing(shard: Path, changed: int) -> ImageListing:
    """The names and labels of a shard, read once for each time of its change."""
    import pyarrow as pa

    file = _open_shard(shard)
    has_path = file.schema_arrow.field("image").type.get_field_index("path") >= 0
    columns = ["label"] if "label" in file.schema_arrow.names else []
    try:
        table = file.read(columns=[*columns, *(["image.path"] if has_path else [])])
    except OSError as error:
        raise _create_damage_error(str(shard), error) from error
    rows = range(file.metadata.num_rows)
    paths = table["image"].combine_chunks().field("path").to_pylist() if has_path else [None for _ in rows]
    names = tuple(path or f"{shard.name}:{row}" for row, path in zip(rows, paths, strict=True))
    if not columns:
        return ImageListing(names, None)
    if not pa.types.is_integer(table["label"].type):
        raise ValueError(
            f"The column label holds classes from 0, got {table['label'].type} in {shard}. Number the classes."
        )
    labels = table["label"].to_pylist()
    return ImageListing(names, None if any(label is None or label < 0 for label in labels) else tuple(labels))
