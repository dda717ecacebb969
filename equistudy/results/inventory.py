"""Which files hold which rows of a table, while others write and compact it."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from equistudy.results.files import Files, StorageError
from equistudy.results.schema import CURVES, TRIALS, UNITS_KEY, ResultsTable, TrialStatus
from equistudy.results.sealing import has_valid_checksum

__all__ = [
    "CompactedFile",
    "Footer",
    "ForeignFileWarning",
    "Inventory",
    "SmallFile",
    "TableListing",
    "build_damage_error",
    "parse_attempt",
    "retry_read",
]

SMALL_NAME = re.compile(r"[\w-]+\.\d+(\.[\w-]+){0,2}\.parquet")
COMPACTED_NAME = re.compile(r"(\d{6})-[0-9a-f]{16}\.parquet")
MAX_RETRIES = 20  # how often files may vanish under a reader before it gives up

Result = TypeVar("Result")


class ForeignFileWarning(UserWarning):
    """A file in a folder of results is ignored: a copy, a link, or something that equistudy did not write."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text, file)
        self.text, self.file = text, file

    def __str__(self) -> str:
        return self.text


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
    _verified: set[str] = field(default_factory=set, repr=False, compare=False)

    @property
    def folder(self) -> str:
        """Where the compacted files lie."""
        return f"{self.table.name}/compacted"

    def list_files(self) -> TableListing:
        """All files. Small ones are listed first: what is compacted in between is then seen twice, and counted once."""
        regular, others = self.files.list_regular(self.table.name)
        names = [name for name in regular if SMALL_NAME.fullmatch(name)]
        strange = [*others, *(name for name in regular if name.endswith(".parquet") and not SMALL_NAME.fullmatch(name))]
        for name in strange:
            self._warn_of(f"{self.table.name}/{name}", "equistudy writes no file of that name and kind there")
        small = [SmallFile(f"{self.table.name}/{name}", name.removesuffix(".parquet")) for name in names]
        newer = set() if self.table.name == TRIALS.name else {file.stem for file in small}
        compacted = retry_read(lambda: tuple(self._mark_counting(self._list_compacted_names(), newer)))
        return TableListing(tuple(small), compacted)

    def list_compacted(self) -> tuple[CompactedFile, ...]:
        """The compacted files alone, newest first."""
        return retry_read(lambda: tuple(self._mark_counting(self._list_compacted_names(), set())))

    def _list_compacted_names(self) -> list[str]:
        """Listed until two listings agree: a listing during a compaction may miss both the old files and the new."""
        before = None
        for _ in range(MAX_RETRIES):
            names = [name for name in self.files.list_regular(self.folder)[0] if COMPACTED_NAME.fullmatch(name)]
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

    def _warn_of(self, name: str, why: str) -> None:
        text = f"Ignored {name} in {self.files.url}: {why}. Move it away if it is a copy or belongs elsewhere."
        warnings.warn(ForeignFileWarning(text, name), stacklevel=2)

    def load(self, name: str) -> bytes:
        """All bytes of a file. Raises FileNotFoundError, and ValueError where its checksum does not match."""
        data = self.files.read(name)
        if data is None:
            raise FileNotFoundError(name)
        if not has_valid_checksum(data):
            raise build_damage_error(self.files, name, ValueError("its checksum does not match"))
        return data

    def load_small(self, file: SmallFile) -> tuple[Footer, bytes] | None:
        """A small file that holds what its name says; None, with a warning, for a copy and for a file of others.

        Raises FileNotFoundError, and ValueError for a damaged file.
        """
        data = self.load(file.name)
        try:
            footer = _parse_footer(pq.read_metadata(pa.BufferReader(data)))
        except KeyError:
            self._warn_of(file.name, "it was not written by equistudy")
            return None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise build_damage_error(self.files, file.name, error) from error
        if not self._belongs(file.stem, footer.units):
            self._warn_of(file.name, f"it holds {', '.join(footer.units)}")
            return None
        return footer, data

    def _belongs(self, stem: str, units: tuple[str, ...]) -> bool:
        """Whether a small file of this name may hold these units: a trial's status and writer are in its unit alone."""
        if self.table.name != TRIALS.name:
            return units == (stem,)
        return len(units) == 1 and parse_attempt(units[0]) == stem.removesuffix(f".{TrialStatus.FAILED}")

    def load_all_small(self, small: Sequence[SmallFile]) -> list[tuple[Footer, bytes]]:
        """Those of the small files that hold what their names say, several read at once."""
        with ThreadPoolExecutor(self.files.threads) as threads:
            return [found for found in threads.map(self.load_small, small) if found is not None]

    def verify(self, name: str) -> None:
        """Raises ValueError for a damaged compacted file; each is read once for that, for it never changes."""
        if name not in self._verified:
            self.load(name)
            self._verified.add(name)

    def read_footer(self, name: str) -> Footer:
        """What a file says about itself. Raises FileNotFoundError, and ValueError for a damaged or foreign file."""
        try:
            with self.files.open_file(name) as file:
                return _parse_footer(pq.read_metadata(file))
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, KeyError, ValueError):  # of the file or of the storage: the next line tells
            data = self.load(name)
        try:
            return _parse_footer(pq.read_metadata(pa.BufferReader(data)))
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise build_damage_error(self.files, name, error) from error

    def read(self, name: str) -> tuple[Footer, pa.Table]:
        """A file with all its columns. Raises FileNotFoundError, and ValueError for a damaged or foreign file."""
        data = self.load(name)
        try:
            parquet = pq.ParquetFile(pa.BufferReader(data))
            return _parse_footer(parquet.metadata), parquet.read(use_threads=False)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise build_damage_error(self.files, name, error) from error

    def list_units(self) -> set[str]:
        """Every unit that the table holds."""

        def read() -> set[str]:
            listing = self.list_files()
            units = {unit for file in listing.compacted for unit in file.counting}
            if self.table.name != TRIALS.name:
                return units.union(file.stem for file in listing.small)
            return units.union(*(footer.units for footer, _ in self.load_all_small(listing.small)))

        return retry_read(read)


def parse_attempt(unit: str) -> str:
    """`trial.attempt` of a unit's name."""
    return ".".join(unit.split(".", 2)[:2])


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
    lost = "Move that file away; what it held is then trained or measured again by the next run, or by `retry`."
    if name.startswith(f"{CURVES.name}/"):
        lost = "Move that file away; the curves in it are lost, and all other numbers of their trials stay."
    return ValueError(
        f"Tables are Parquet files that equistudy wrote, got {name} in {files.url}: {reason.rstrip('.')}. {lost}"
    )
