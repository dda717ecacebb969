"""Writes results: rows, weights and checkpoints, each file whole or not at all, on one process or on a thousand."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from equistudy.results.files import Files, LocalFiles, LostResultsError, StorageError, open_files
from equistudy.results.inventory import Inventory, SmallFile
from equistudy.results.schema import (
    CURVES,
    MEASUREMENTS,
    SCHEMA_VERSION,
    TRIALS,
    CurveRow,
    ResultsTable,
    TrialRow,
    TrialStatus,
)
from equistudy.results.sealing import DamagedFileError, seal, unseal

__all__ = ["StorageError", "Store"]

MARKER_FILE = "equistudy.json"
RESTORE_HINT = f'Restore the file, or write {{"schema": {SCHEMA_VERSION}}} into it if the tables are yours'
ID_PATTERN = re.compile(r"[\w-]+", re.ASCII)
PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds between two tries at a storage that does not answer: each time doubled

T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """A results folder. Any number of processes may write to it at once; it travels to workers by pickle.

    A row is written once, into a file of its own, and is never changed. The row of a trial is the marker that the
    trial is over: curves, measurements and weights are written before it. Writing raises StorageError; where the
    reason may pass (a server that does not answer, a full disk), not before `patience` seconds of trying again.
    """

    files: Files
    patience: float = 0.0

    @classmethod
    def open(cls, place: str | Path, create: bool = True) -> "Store":
        """The results at a local path or a URL (s3://, gs://, file://); with `create` a new folder becomes one.

        Raises FileNotFoundError without `create` where there is nothing, and ValueError for a folder that holds
        something else or was written by a newer version.
        """
        store = cls(open_files(place))
        version = _read_version(store.files) or _check_empty_or_ours(store.files)
        if version is None and not create:
            raise FileNotFoundError(f"There are no results in {store.url}. Check --results, or run the study first.")
        if version is not None and version > SCHEMA_VERSION:
            raise ValueError(
                f"The results in {store.url} have version {version}, and this equistudy reads up to {SCHEMA_VERSION}. "
                f"Update equistudy, or choose another folder with --results."
            )
        if create and version != SCHEMA_VERSION:
            store.files.write(MARKER_FILE, json.dumps({"schema": SCHEMA_VERSION}).encode())
        return store

    @property
    def url(self) -> str:
        """The path or URL of the results."""
        return self.files.url

    @property
    def is_local(self) -> bool:
        """Whether the results lie on a file system of this machine, which other nodes may not reach."""
        return isinstance(self.files, LocalFiles)

    def with_patience(self, seconds: float) -> "Store":
        """The same results, for writers that would rather wait than lose what they have."""
        return self if seconds == self.patience else replace(self, patience=seconds)

    def _retry(self, verb: Callable[..., T], *arguments: Any) -> T:
        """What the verb gives; again and again while the storage fails in a way that may pass."""
        deadline, pause = time.monotonic() + self.patience, PAUSE
        while True:
            try:
                return verb(*arguments)
            except StorageError as error:
                if error.lasting or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _write(self, name: str, data: bytes) -> None:
        """Writes a file into results that are still there; else whatever is written would lie in a nameless folder."""
        if not self.files.exists(MARKER_FILE):
            raise LostResultsError(_describe_lost_marker(self.files))
        self.files.write(name, data)

    def write_trial(self, row: TrialRow) -> None:
        """Writes the row that ends an attempt at a trial.

        Rows of failures have names of their own: of two runs at the same attempt, the one that fails never overwrites
        the row of the one that succeeds, on any storage. Of two that succeed the later row replaces the earlier one,
        and names the curves and measurements that go with it by its `writer`. Attempts count from 0 without a gap: a
        retry follows a row that it saw.
        """
        stem = _build_stem(row.trial, row.attempt)
        data = TRIALS.encode_rows([asdict(row)], [_build_stem(row.trial, row.attempt, row.status, writer=row.writer)])
        name = stem if row.status == TrialStatus.DONE else f"{stem}.{row.status}"
        self._retry(self._write, _table_path(TRIALS, name), data)

    def write_curves(self, trial: str, attempt: int, rows: Sequence[CurveRow], writer: str | None = None) -> None:
        """Writes the curves of one attempt by one writer."""
        stem = _build_stem(trial, attempt, writer=writer)
        key = {"trial": trial, "attempt": attempt, "writer": writer}
        self._retry(
            self._write,
            _table_path(CURVES, stem),
            CURVES.encode_rows([{**key, **asdict(row)} for row in rows], [stem]),
        )

    def write_measurements(
        self,
        trial: str,
        attempt: int,
        measure_id: str,
        rows: Iterable[Mapping[str, Any]],
        seconds: float | None = None,
        writer: str | None = None,
    ) -> None:
        """Writes all rows of one measure for one network; `seconds` is what they took. No rows is a result too.

        `writer` is that of the row of the trial whose network was measured.
        """
        stem = _build_stem(trial, attempt, measure_id, writer=writer)
        key = {"trial": trial, "attempt": attempt, "seconds": seconds}
        listed = [{**key, **row, "writer": writer} for row in rows]
        for row in listed:
            if row.get("measure_id") != measure_id:
                raise ValueError(
                    f"Measurements of {measure_id} carry its id, got measure_id={row.get('measure_id')!r}. "
                    "Write each measure by itself."
                )
        self._retry(self._write, _table_path(MEASUREMENTS, stem), MEASUREMENTS.encode_rows(listed, [stem]))

    def has_trial(self, trial: str) -> bool:
        """Whether any attempt at the trial is over, done or failed."""
        return self._retry(self._has_unit, TRIALS, _build_stem(trial, 0))

    def has_measurements(self, trial: str, attempt: int, measure_id: str, writer: str | None = None) -> bool:
        """Whether this measure was written for this network."""
        return self._retry(self._has_unit, MEASUREMENTS, _build_stem(trial, attempt, measure_id, writer=writer))

    def _has_unit(self, table: ResultsTable, stem: str) -> bool:
        """Looks for the small file, then into the footers of the compacted ones: no listing of many files."""
        names = (stem, f"{stem}.{TrialStatus.FAILED}") if table is TRIALS else (stem,)
        for name in names:
            path = _table_path(table, name)
            if self.files.exists(path):
                with contextlib.suppress(FileNotFoundError):  # compacted in between
                    if self.inventories[table.name].load_small(SmallFile(path, name)) is not None:
                        return True
        compacted = self.inventories[table.name].list_compacted()
        if table is TRIALS:
            return any(unit.startswith(f"{stem}.") for file in compacted for unit in file.units)
        return any(stem in file.units for file in compacted)

    def list_statuses(self) -> dict[str, str]:
        """The status of every trial that is over: done if any attempt is."""
        statuses: dict[str, str] = {}
        for unit in self.inventories[TRIALS.name].list_units():
            trial, _, status = unit.split(".")[:3]
            if statuses.get(trial) != TrialStatus.DONE:
                statuses[trial] = status
        return statuses

    @cached_property
    def inventories(self) -> dict[str, Inventory]:
        """What is known about the files of each table."""
        return {table.name: Inventory(self.files, table) for table in (TRIALS, CURVES, MEASUREMENTS)}

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files, "patience": self.patience}

    def write_bytes(self, name: str, data: bytes) -> None:
        """Writes a file, such as weights or a checkpoint, in place of the one that may be there."""
        self._retry(self._write, name, data)

    def read_bytes(self, name: str) -> bytes | None:
        """All bytes of a file, or None where there is none."""
        return self._retry(self.files.read, name)

    def write_sealed(self, name: str, data: bytes) -> None:
        """As `write_bytes`, with a checksum that `read_sealed` verifies."""
        self.write_bytes(name, seal(name, data))

    def read_sealed(self, name: str) -> bytes | None:
        """What `write_sealed` wrote, or None where there is none; a damaged file is set aside first."""
        sealed = self.read_bytes(name)
        if sealed is None:
            return None
        try:
            return unseal(name, sealed)
        except DamagedFileError:
            self.set_aside(name)
            return None

    def set_aside(self, name: str) -> None:
        """Moves a damaged file to `damaged/`, where nothing reads it; the last one of each name is kept."""
        with contextlib.suppress(StorageError):  # what cannot be moved is overwritten by what is computed again
            data = self.read_bytes(name)
            if data is not None:
                self.write_bytes(f"damaged/{name.replace('/', '.')}", data)
                self.delete(name)

    def delete(self, name: str) -> None:
        """Deletes a file, if it is there."""
        self._retry(self.files.delete, name)

    def list_names(self, folder: str) -> list[str]:
        """The names in a folder, sorted."""
        return self._retry(self.files.list_names, folder)


def _build_stem(trial: str, attempt: int, *more: str, writer: str | None = None) -> str:
    """The name of what one write brings in."""
    more = more if writer is None else (*more, writer)
    for name in (trial, *more):
        if not ID_PATTERN.fullmatch(name):
            raise ValueError(f"An id consists of letters, digits, _ and -, got {name!r}. Use Trial.id and Measure.id.")
    if attempt < 0:
        raise ValueError(f"Attempts count from 0, got attempt={attempt}.")
    return ".".join([trial, str(attempt), *more])


def _table_path(table: ResultsTable, stem: str) -> str:
    return f"{table.name}/{stem}.parquet"


def _read_version(files: Files) -> int | None:
    """The schema version of the results, None where there is no marker. Raises ValueError for a broken one."""
    data = files.read(MARKER_FILE)
    if data is None:
        return None
    try:
        return int(json.loads(data)["schema"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{MARKER_FILE} in {files.url} says which version wrote the results, got {data[:80]!r}. {RESTORE_HINT}."
        ) from error


def _describe_lost_marker(files: Files) -> str:
    names = files.list_names("")
    if not names:
        return (
            f"The results must stay in their place during a run, got nothing at {files.url}: they were moved or "
            "deleted. Move them back, or run the same command again to start anew."
        )
    return (
        f"The results must keep their {MARKER_FILE} during a run, got {files.url} without it, with "
        f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}. {RESTORE_HINT}, then run the same command again."
    )


def _check_empty_or_ours(files: Files) -> int | None:
    """None for an empty or absent folder. Where there are files, another run may just have made the marker."""
    names = files.list_names("")
    if not names:
        return None
    version = _read_version(files)
    if version is None and {table.name for table in (TRIALS, CURVES, MEASUREMENTS)} & {*names}:
        raise ValueError(
            f"A results folder has a file {MARKER_FILE}, got {files.url} without it, with {', '.join(names[:3])}"
            f"{', ...' if len(names) > 3 else ''}. {RESTORE_HINT}."
        )
    if version is None:
        raise ValueError(
            f"{files.url} is not a results folder of equistudy: it has no {MARKER_FILE} but holds "
            f"{', '.join(names[:3])}"
            f"{', ...' if len(names) > 3 else ''}. Choose an empty or new folder with --results."
        )
    return version
