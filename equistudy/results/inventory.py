"""Which files hold which rows of a table, while others write and compact it."""

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from equistudy.results.files import Files, StorageError
from equistudy.results.schema import TRIALS, UNITS_KEY, ResultsTable

__all__ = ["CompactedFile", "Footer", "Inventory", "SmallFile", "TableListing", "build_damage_error", "retry_read"]

SMALL_NAME = re.compile(r"[\w-]+\.\d+(\.[\w-]+)?\.parquet")
COMPACTED_NAME = re.compile(r"(\d{6})-[0-9a-f]{16}\.parquet")
MAX_RETRIES = 20  # how often files may vanish under a reader before it gives up

Result = TypeVar("Result")


class SmallFile(NamedTuple):
    """A file as a trial wrote it; `stem` is its name without `.parquet`."""

    name: str
    stem: str


class Footer(NamedTuple):
    """What a file says about itself."""

    units: tuple[str, ...]
    rows: int


class CompactedFile(NamedTuple):
    """A compacted file: all units in it, and those that count here.

    Two compactions at once, or one that was killed, leave a unit in two files. It then counts in the newer one. A small
    file is newer than any compacted one: it is left of a killed compaction, or was written again since.
    """

    name: str
    generation: int
    rows: int
    units: tuple[str, ...]
    counting: tuple[str, ...]


class TableListing(NamedTuple):
    """The files of one table at one moment, each unit in exactly one of them.

    The name of a small file of trials does not tell its unit, because the status is part of it: such a row may occur
    both here and compacted.
    """

    small: tuple[SmallFile, ...]
    compacted: tuple[CompactedFile, ...]

    @property
    def names(self) -> list[str]:
        """The names of the files that count."""
        return [*(file.name for file in self.compacted), *(file.name for file in self.small)]


@dataclass(frozen=True)
class Inventory:
    """The files of one table. Remembers the footers of compacted files, which never change."""

    files: Files
    table: ResultsTable
    _footers: dict[str, Footer] = field(default_factory=dict, repr=False, compare=False)

    @property
    def folder(self) -> str:
        """Where the compacted files lie."""
        return f"{self.table.name}/compacted"

    def list_files(self) -> TableListing:
        """All files. Small ones are listed first: what is compacted in between is then seen twice, and counted once."""
        names = [name for name in self.files.list_names(self.table.name) if SMALL_NAME.fullmatch(name)]
        small = [SmallFile(f"{self.table.name}/{name}", name.removesuffix(".parquet")) for name in names]
        newer = set() if self.table is TRIALS else {file.stem for file in small}
        compacted = retry_read(lambda: tuple(self._mark_counting(self._list_compacted_names(), newer)))
        return TableListing(tuple(small), compacted)

    def list_compacted(self) -> tuple[CompactedFile, ...]:
        """The compacted files alone, newest first."""
        return retry_read(lambda: tuple(self._mark_counting(self._list_compacted_names(), set())))

    def _list_compacted_names(self) -> list[str]:
        """Listed until two listings agree: a listing during a compaction may miss both the old files and the new."""
        before = None
        for _ in range(MAX_RETRIES):
            names = [name for name in self.files.list_names(self.folder) if COMPACTED_NAME.fullmatch(name)]
            if names == before:
                return names
            before = names
        raise StorageError(
            f"{self.folder} of {self.files.url} keeps changing while it is read. Wait until the compaction has "
            "finished."
        )

    def _mark_counting(self, names: list[str], newer: Iterable[str]) -> Iterator[CompactedFile]:
        """The newest generation counts first, and nothing that `newer` names.

        A compaction deletes a file only where files before it in this order hold its units. However many compactions
        run at once, the first file that holds a unit stays.
        """
        counted = set(newer)
        for name in sorted(names, key=lambda name: (-int(name[:6]), name)):
            path = f"{self.folder}/{name}"
            if path not in self._footers:
                self._footers[path] = self.read_footer(path)
            footer = self._footers[path]
            fresh = tuple(unit for unit in footer.units if unit not in counted)
            counted.update(fresh)
            yield CompactedFile(path, int(name[:6]), footer.rows, footer.units, fresh)

    def read_footer(self, name: str) -> Footer:
        """What a file says about itself. Raises FileNotFoundError, and ValueError for a damaged or foreign file."""
        try:
            with self.files.open_file(name) as file:
                return _parse_footer(pq.read_metadata(file))
        except (pa.ArrowInvalid, KeyError) as error:
            raise build_damage_error(self.files, name, error) from error

    def read(self, name: str) -> tuple[Footer, pa.Table]:
        """A file with all its columns. Raises FileNotFoundError, and ValueError for a damaged or foreign file."""
        try:
            with self.files.open_file(name) as file:
                parquet = pq.ParquetFile(file)
                return _parse_footer(parquet.metadata), parquet.read(use_threads=False)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, KeyError) as error:
            raise build_damage_error(self.files, name, error) from error

    def list_units(self) -> set[str]:
        """Every unit that the table holds."""

        def read() -> set[str]:
            listing = self.list_files()
            units = {unit for file in listing.compacted for unit in file.counting}
            if self.table is not TRIALS:
                return units.union(file.stem for file in listing.small)
            count = self.files.threads
            shares = [listing.small[start::count] for start in range(count)]
            with ThreadPoolExecutor(count) as threads:
                return units.union(*threads.map(self._read_units, shares))

        return retry_read(read)

    def _read_units(self, small: tuple[SmallFile, ...]) -> set[str]:
        return {unit for file in small for unit in self.read_footer(file.name).units}


def _parse_footer(metadata: Any) -> Footer:
    """Raises KeyError for a file that equistudy did not write."""
    text = (metadata.metadata or {})[UNITS_KEY].decode()
    return Footer(tuple(text.split("\n")) if text else (), metadata.num_rows)


def retry_read(read: Callable[[], Result]) -> Result:
    """What `read` gives, tried again while a compaction takes files away under it."""
    for _ in range(MAX_RETRIES - 1):
        try:
            return read()
        except FileNotFoundError:
            continue
    return read()


def build_damage_error(files: Files, name: str, why: Exception) -> ValueError:
    """The error for a file that cannot be read."""
    reason = "it was not written by equistudy" if isinstance(why, KeyError) else str(why).splitlines()[0]
    return ValueError(
        f"Tables are Parquet files that equistudy wrote, got {name} in {files.url}: {reason.rstrip('.')}. "
        "Move that file away; what it held is then trained or measured again by the next run."
    )
