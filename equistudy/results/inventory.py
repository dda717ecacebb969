"""Which files hold which rows of a table, while others write and compact it."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from equistudy.results.files import Files, StorageError
from equistudy.results.schema import TRIALS, UNITS_KEY, Table

__all__ = ["Compacted", "Inventory", "Small", "damaged", "settled"]

SMALL_NAME = re.compile(r"[\w-]+\.\d+(\.[\w-]+)?\.parquet")
COMPACTED_NAME = re.compile(r"(\d{6})-[0-9a-f]{16}\.parquet")
ROUNDS = 20  # how often files may vanish under a reader before it gives up
THREADS = 2  # more of them wait for Python's lock

Result = TypeVar("Result")


class Small(NamedTuple):
    """A file as a trial wrote it; `stem` is its name without `.parquet`."""

    name: str
    stem: str


class Compacted(NamedTuple):
    """A compacted file: all units in it, and whether each of them counts here.

    Two compactions at once, or one that was killed, leave a unit in two files. It then counts in the newer one:
    `counting` are the units that count in this file.
    """

    name: str
    generation: int
    units: tuple[str, ...]
    counting: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether every row of the file counts."""
        return len(self.counting) == len(self.units)


class Listing(NamedTuple):
    """The files of one table at one moment, each unit in exactly one of them; `copies` are small files to be deleted.

    The name of a small file of trials does not tell its unit, because the status is part of it: such a row may occur
    both here and compacted.
    """

    small: tuple[Small, ...]
    compacted: tuple[Compacted, ...]
    copies: tuple[Small, ...]


@dataclass(frozen=True)
class Inventory:
    """The files of one table. Remembers the footers of compacted files, which never change."""

    files: Files
    table: Table
    _footers: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def folder(self) -> str:
        """Where the compacted files lie."""
        return f"{self.table.name}/compacted"

    def listing(self) -> Listing:
        """All files. Small ones are listed first: what is compacted in between is then seen twice, and counted once."""
        names = [name for name in self.files.names(self.table.name) if SMALL_NAME.fullmatch(name)]
        small = [Small(f"{self.table.name}/{name}", name.removesuffix(".parquet")) for name in names]
        compacted = settled(lambda: tuple(self._counted(self._compacted_names())))
        if self.table is TRIALS or not compacted:
            return Listing(tuple(small), compacted, ())
        held = {unit for file in compacted for unit in file.counting}
        rest = tuple(file for file in small if file.stem not in held)
        return Listing(rest, compacted, tuple(file for file in small if file.stem in held))

    def compacted(self) -> tuple[Compacted, ...]:
        """The compacted files alone, newest first."""
        return settled(lambda: tuple(self._counted(self._compacted_names())))

    def _compacted_names(self) -> list[str]:
        """Listed until two listings agree: a listing during a compaction may miss both the old files and the new."""
        before = None
        for _ in range(ROUNDS):
            names = [name for name in self.files.names(self.folder) if COMPACTED_NAME.fullmatch(name)]
            if names == before:
                return names
            before = names
        raise StorageError(f"{self.folder} of {self.files.url} changes all the time. Let compactions end first.")

    def _counted(self, names: list[str]) -> Iterator[Compacted]:
        """The newest generation counts first.

        A compaction deletes a file only where files before it in this order hold its units. However many compactions
        run at once, the first file that holds a unit stays.
        """
        counted: set[str] = set()
        for name in sorted(names, key=lambda name: (-int(name[:6]), name)):
            path = f"{self.folder}/{name}"
            if path not in self._footers:
                self._footers[path] = self.units(path)
            units = self._footers[path]
            fresh = tuple(unit for unit in units if unit not in counted)
            counted.update(fresh)
            yield Compacted(path, int(name[:6]), units, fresh)

    def units(self, name: str) -> tuple[str, ...]:
        """The units of a file, from its footer alone. Raises FileNotFoundError, and ValueError for a foreign file."""
        try:
            with self.files.opened(name) as file:
                metadata = pq.read_metadata(file).metadata or {}
        except pa.ArrowInvalid as error:
            raise damaged(self.files, name, str(error)) from error
        if UNITS_KEY not in metadata:
            raise damaged(self.files, name, "it was not written by equistudy")
        text = metadata[UNITS_KEY].decode()
        return tuple(text.split("\n")) if text else ()

    def all_units(self) -> set[str]:
        """Every unit that the table holds."""

        def read() -> set[str]:
            listing = self.listing()
            units = {unit for file in listing.compacted for unit in file.counting}
            if self.table is not TRIALS:
                return units.union(file.stem for file in listing.small)
            with ThreadPoolExecutor(THREADS) as threads:
                for found in threads.map(self._units_of, _shares(listing.small)):
                    units |= found
            return units

        return settled(read)

    def _units_of(self, small: tuple[Small, ...]) -> set[str]:
        return {unit for file in small for unit in self.units(file.name)}


def _shares(small: tuple[Small, ...]) -> list[tuple[Small, ...]]:
    return [small[start::THREADS] for start in range(THREADS)]


def settled(read: Callable[[], Result]) -> Result:
    """What `read` gives, tried again while a compaction takes files away under it."""
    for _ in range(ROUNDS - 1):
        try:
            return read()
        except FileNotFoundError:
            continue
    return read()


def damaged(files: Files, name: str, why: Any) -> ValueError:
    """The error for a file that cannot be read."""
    return ValueError(
        f"Tables are Parquet files that equistudy wrote, got {name} in {files.url}: {why}. "
        "Move that file away; what it held is then trained or measured again by the next run."
    )
