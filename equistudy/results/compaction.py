"""Rewrites many small files into few, while others read and write them, and safely if it is killed."""

import hashlib
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from equistudy.results.files import Files
from equistudy.results.inventory import CompactedFile, Footer, Inventory, SmallFile, TableListing, parse_attempt
from equistudy.results.schema import TABLES, TRIALS, ResultsTable, TrialStatus
from equistudy.results.store import Store

__all__ = ["CompactionSummary", "compact"]

ABANDONED_SECONDS = 24 * 3600.0  # a writer may be suspended with its machine, but not for days
FILES_AHEAD = 500  # how many small files are read before the first of them is used


class CompactionSummary(NamedTuple):
    """What a compaction did."""

    files_before: int
    files_after: int
    rows: int
    swept: int

    def __str__(self) -> str:
        abandoned = f"; {self.swept} unfinished files of killed writers deleted" if self.swept else ""
        return f"{self.files_before} files -> {self.files_after}, {self.rows} rows rewritten{abandoned}"


class CompactionBatch(NamedTuple):
    """What becomes one compacted file: units with their rows, and the files that are then superfluous."""

    units: list[str]
    tables: list[pa.Table]
    sources: list[str]


def compact(store: Store) -> CompactionSummary:
    """Rewrites the small files of every table into few large ones; weights and checkpoints stay.

    A compacted file is written under a name of its own, and only then are the files deleted whose units it holds. In
    between a unit is in two files and counts in one of them, so nothing is lost or doubled when this process is killed.
    A second call does nothing. Only attempts that are done are compacted: what belongs to any other may be written
    again under the same name, by the process that resumes it or by another run. Raises ValueError for a damaged file
    and StorageError.
    """
    before, after, rows = 0, 0, 0
    done = {parse_attempt(unit) for unit in store.inventories[TRIALS.name].list_units() if _is_done(unit)}
    for table in TABLES:
        inventory = store.inventories[table.name]
        listing = inventory.list_files()
        before += len(listing.names)
        _delete_files(store.files, [file.name for file in listing.compacted if not file.counting])
        for batch in _group_batches(inventory, listing, done):
            rows += _write_batch(store.files, inventory, listing, batch)
        after += len(inventory.list_files().names)
    swept = sum(store.files.sweep_abandoned(folder, ABANDONED_SECONDS) for folder in _list_folders(store))
    return CompactionSummary(before, after, rows, swept)


def _list_folders(store: Store) -> list[str]:
    compacted = [inventory.folder for inventory in store.inventories.values()]
    return ["", *store.list_names(""), *compacted]


def _group_batches(inventory: Inventory, listing: TableListing, done: Container[str]) -> Iterator[CompactionBatch]:
    """Groups of files that fit into one, each read when it is asked for."""
    table = inventory.table
    batch, rows = CompactionBatch([], [], []), 0
    for name, units, content in _read_contents(inventory, listing, done):
        batch.sources.append(name)
        batch.units.extend(units)
        batch.tables.append(content)
        rows += content.num_rows
        if rows >= table.max_rows:
            yield batch
            batch, rows = CompactionBatch([], [], []), 0
    as_they_are = [[file.name] for file in listing.compacted if len(file.counting) == len(file.units)]
    if batch.sources and batch.sources not in as_they_are:
        yield batch


def _read_contents(
    inventory: Inventory, listing: TableListing, done: Container[str]
) -> Iterator[tuple[str, list[str], pa.Table]]:
    """Every file worth rewriting: its name, the units that count in it, and their rows; `done` names the attempts."""
    table = inventory.table
    held = {unit for file in listing.compacted for unit in file.counting}
    for file in listing.compacted:
        if file.counting and (file.rows < table.max_rows // 2 or len(file.counting) < len(file.units)):
            found = _read_file(inventory, file.name)
            if found is not None:
                yield file.name, list(file.counting), _select_counting_rows(table, found[1], file)
    finished = [file for file in listing.small if parse_attempt(file.stem) in done]
    for name, found in _read_small_contents(inventory, finished):
        if found is None or (table.name == TRIALS.name and not _is_done(found[0].units[0])):
            continue
        fresh = [unit for unit in found[0].units if unit not in held]
        yield name, fresh, found[1] if fresh else found[1].slice(0, 0)


def _is_done(unit: str) -> bool:
    """Whether the unit of a trial's row says that the attempt succeeded."""
    return unit.split(".")[2] == TrialStatus.DONE


def _read_small_contents(
    inventory: Inventory, small: Sequence[SmallFile]
) -> Iterator[tuple[str, tuple[Footer, pa.Table] | None]]:
    """The small files, several read at once; None for those that vanish and those that do not hold what they should."""
    with ThreadPoolExecutor(inventory.files.threads) as threads:
        for start in range(0, len(small), FILES_AHEAD):
            some = small[start : start + FILES_AHEAD]
            found = threads.map(lambda file: _read_small_file(inventory, file), some)
            yield from zip([file.name for file in some], found, strict=True)


def _read_small_file(inventory: Inventory, file: SmallFile) -> tuple[Footer, pa.Table] | None:
    try:
        return None if inventory.load_small(file) is None else inventory.read(file.name)
    except FileNotFoundError:
        return None


def _read_file(inventory: Inventory, name: str) -> tuple[Footer, pa.Table] | None:
    """A file's footer and rows, or None where another compaction has taken it."""
    try:
        return inventory.read(name)
    except FileNotFoundError:
        return None


def _select_counting_rows(table: ResultsTable, content: pa.Table, file: CompactedFile) -> pa.Table:
    """The rows of a compacted file that count."""
    if len(file.counting) == len(file.units):
        return content
    # files of schema 1 have no writers
    columns = [pc.cast(content[name], pa.string()) for name in table.unit if name in content.column_names]
    units = pc.binary_join_element_wise(*columns, ".", null_handling="skip")
    return content.filter(pc.is_in(units, value_set=pa.array(file.counting, pa.string())))


def _write_batch(files: Files, inventory: Inventory, listing: TableListing, batch: CompactionBatch) -> int:
    """Writes one compacted file, then deletes its sources. Gives the number of its rows."""
    if not batch.units:  # a killed compaction left rows that a compacted file holds
        _delete_files(files, batch.sources)
        return 0
    generation = 1 + max((file.generation for file in listing.compacted), default=0)
    identity = hashlib.sha256("\n".join(batch.units).encode()).hexdigest()[:16]
    merged = _merge_tables(inventory.table, batch.tables)
    name = f"{inventory.folder}/{generation:06d}-{identity}.parquet"
    files.write(name, inventory.table.encode_table(merged, batch.units))
    _delete_files(files, batch.sources)
    return merged.num_rows


def _merge_tables(table: ResultsTable, tables: list[pa.Table]) -> pa.Table:
    """All rows, with the columns of our schema first; a column that only some files have is null in the others."""
    plain = [content.replace_schema_metadata(None) for content in tables]
    return pa.concat_tables([table.schema.empty_table(), *plain], promote_options="permissive").combine_chunks()


def _delete_files(files: Files, names: Iterable[str]) -> None:
    with ThreadPoolExecutor(files.threads) as threads:
        for _ in threads.map(files.delete, names):
            pass
