"""Reads results that grow: each look reads only the files that are new since the last one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from equistudy.results.files import StorageError
from equistudy.results.inventory import Inventory, TableListing, retry_read
from equistudy.results.reader import (
    BRIEF_COLUMNS,
    READING_ERRORS,
    Results,
    build_empty_frame,
    check_damage,
    collect_sources,
    parse_source,
    scan_listing,
    select_kept_rows,
)
from equistudy.results.schema import CURVES, MEASUREMENTS, TABLES, TRIALS, ResultsTable, TrialStatus
from equistudy.results.store import Store

__all__ = ["GrowingResults", "GrowingTable", "ResultsInMemory"]

PEEKED_SCHEMA = {"trial": pl.String, "attempt": pl.Int64, "status": pl.String, "reason": pl.String}
SETTLED_SECONDS = 2.0  # a folder that changed later than this before it was listed may change again unnoticed


class GrowingTable:
    """The rows of one table, kept in memory between two looks.

    A file is read once: its rows never change. A row whose file is gone is dropped. On a local disk, a folder is listed
    again only if its modification time has changed.
    """

    def __init__(self, inventory: Inventory, is_local: bool) -> None:
        self._inventory, self._is_local = inventory, is_local
        self._listing: TableListing | None = None
        self._listed_state: tuple[float, ...] = ()
        self._known: set[str] = set()
        self._frame = build_empty_frame(inventory.table)

    @property
    def frame(self) -> pl.DataFrame:
        """The rows as of the last look."""
        return self._frame

    def list_files(self) -> TableListing:
        """The files of the table now."""
        state = self._read_folder_state()
        if self._listing is None or not state or state != self._listed_state:
            began = time.time()
            self._listing = self._inventory.list_files()
            self._listed_state = state if state and max(state) < began - SETTLED_SECONDS else ()
        return self._listing

    def _read_folder_state(self) -> tuple[float, ...]:
        """When the folders of the table last changed; empty where the storage does not tell."""
        if not self._is_local:
            return ()
        files = self._inventory.files
        state = []
        for folder in (self._inventory.table.name, self._inventory.folder):
            try:
                state.append(files.modified_at(folder))
            except StorageError:  # it is not there yet
                state.append(0.0)
        return tuple(state)

    def read(self, kept: set[str] | None = None) -> bool:
        """Reads what is new of the attempts `kept`, all for None; returns whether any row has come or gone."""
        before = self._frame
        retry_read(lambda: self._update(kept))
        return self._frame is not before

    def _update(self, kept: set[str] | None) -> None:
        listing = self.list_files()
        present = _list_keys(self._inventory.table, listing, kept)
        stale = self._known - present
        if stale:
            self._forget(stale)
        if present == self._known:
            return
        fresh = TableListing(
            tuple(file for file in listing.small if file.stem not in self._known),
            tuple(
                file._replace(counting=tuple(unit for unit in file.counting if unit not in self._known))
                for file in listing.compacted
            ),
        )
        try:
            rows = scan_listing(self._inventory, fresh, kept).collect()
        except FileNotFoundError:
            self._listing = None  # a compaction has taken the file away
            raise
        except READING_ERRORS as error:
            check_damage(self._inventory, fresh)
            raise error from None
        self._frame = pl.concat([self._frame, rows])
        self._known = present

    def _forget(self, stale: set[str]) -> None:
        """Drops the rows of units that are gone or no longer count."""
        table = self._inventory.table
        if table.name == TRIALS.name:
            # the name of a small file does not tell its unit: read all of them again
            self._frame, self._known = build_empty_frame(table), set()
        else:
            unit = pl.concat_str(table.unit, separator=".", ignore_nulls=True)
            self._frame = self._frame.filter(~unit.is_in(sorted(stale)))
            self._known = self._known - stale


def _list_keys(table: ResultsTable, listing: TableListing, kept: set[str] | None) -> set[str]:
    """What identifies the content of a listing: the stems of small files, and the units that count of the others."""
    keys = {file.stem for file in listing.small}
    keys.update(unit for file in listing.compacted for unit in file.counting)
    return keys if kept is None else {key for key in keys if parse_source(table, key) in kept}


class GrowingResults:
    """The results of a running study: each call reads what is new since the last one.

    One thread may call `read_trials` while another calls `read_rows`.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._tables = {table.name: GrowingTable(store.inventories[table.name], store.is_local) for table in TABLES}
        self._trials = select_kept_rows(self._tables[TRIALS.name].frame)
        self._measured: tuple[TableListing, set[str]] | None = None

    def count_unread_trials(self) -> int:
        """How many files of trials the next `read_trials` has to read."""
        table = self._tables[TRIALS.name]
        return max(0, len(table.list_files().small) - table.frame.height)

    def peek(self) -> "ResultsInMemory":
        """The results as the names of the files tell them, none of which is read: statuses without numbers.

        The name of a trial's file does not tell its writer: here the measurements of any writer count.
        """
        keys = _list_keys(TRIALS, self._tables[TRIALS.name].list_files(), None)
        rows = pl.DataFrame([_parse_name(key) for key in keys], schema=PEEKED_SCHEMA)
        trials = select_kept_rows(pl.concat([build_empty_frame(TRIALS), rows], how="diagonal_relaxed"))
        found = self._build_results(trials)
        return replace(found, measured={".".join(unit.split(".")[:3]) for unit in found.measured})

    def read_trials(self) -> "ResultsInMemory":
        """The rows of all trials that are over; curves and measurements are those of the last `read_rows`."""
        table = self._tables[TRIALS.name]
        if table.read():
            self._trials = select_kept_rows(table.frame)
        return self._build_results(self._trials)

    def read_rows(self, trials: "ResultsInMemory") -> "ResultsInMemory":
        """The same trials with the curves and measurements of those that are done.

        Those of other trials are left out: they may be written again under the same name.
        """
        rows = trials.attempts
        kept = collect_sources(rows.filter(status=TrialStatus.DONE))
        for table in (CURVES, MEASUREMENTS):
            self._tables[table.name].read(kept)
        return self._build_results(rows)

    def _build_results(self, trials: pl.DataFrame) -> "ResultsInMemory":
        listing = self._tables[MEASUREMENTS.name].list_files()
        if self._measured is None or self._measured[0] is not listing:
            self._measured = listing, _list_keys(MEASUREMENTS, listing, None)
        frames = {name: table.frame for name, table in self._tables.items()}
        return ResultsInMemory(self.store, trials, frames, self._measured[1])


def _parse_name(key: str) -> dict[str, Any]:
    """A trial's row, as far as the name of its file tells."""
    trial, attempt, *status = key.split(".")
    reason = "not read yet" if status[:1] == [TrialStatus.FAILED] else None
    return {
        "trial": trial,
        "attempt": int(attempt),
        "status": str(TrialStatus.FAILED if reason else TrialStatus.DONE),
        "reason": reason,
    }


@dataclass(frozen=True)
class ResultsInMemory(Results):
    """Results that have been read."""

    rows: pl.DataFrame
    frames: Mapping[str, pl.DataFrame]
    measured: set[str]

    @property
    def _all_rows(self) -> pl.DataFrame:
        return self.rows

    @property
    def _brief_rows(self) -> pl.DataFrame:
        return self.rows.select(BRIEF_COLUMNS)

    def _list_measured_units(self) -> set[str]:
        return self.measured

    def is_same_as(self, other: "ResultsInMemory") -> bool:
        """Whether the trials and their measures are those of another look; curves and values follow from them."""
        return self.rows is other.rows and (self.measured is other.measured or self.measured == other.measured)

    def _build_lazy_frame(self, table: ResultsTable) -> pl.LazyFrame:
        return self.frames[table.name].drop("writer").lazy()
