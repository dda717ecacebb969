"""Reads results as Polars LazyFrames, also while a study runs and while its files are compacted."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from equistudy.results.columns import expand_columns
from equistudy.results.files import Files
from equistudy.results.inventory import Inventory, TableListing, build_damage_error, retry_read
from equistudy.results.schema import CURVES, MEASUREMENTS, TRIALS, ResultsTable, TrialStatus
from equistudy.results.store import Store

__all__ = [
    "BRIEF_COLUMNS",
    "READING_ERRORS",
    "Results",
    "build_empty_frame",
    "check_damage",
    "collect_sources",
    "open_existing",
    "parse_source",
    "scan_listing",
    "select_kept_rows",
]

# Polars panics at some damaged files, with an exception that is no Exception.
READING_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
BRIEF_COLUMNS = ("trial", "attempt", "status", "reason", "seconds", "measuring_seconds", "weights", "writer")

# Older files may lack columns, newer ones may have more, and a whole number may stand where a float belongs.
CAST_OPTIONS = pl.ScanCastOptions(integer_cast=["upcast", "allow-float"], float_cast="upcast")


def open_existing(place: str | Path) -> "Results | None":
    """The results, or None where no study has run yet."""
    try:
        return Results.open(place)
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Results:
    """The tables of a results folder, with exactly one row per trial.

    Of several attempts at a trial the last that is done counts, or else the last that failed. Curves and measurements
    are those of the attempts that count, from the same process: two runs may have made the same attempt. Which trials
    there are is read once, curves and measurements when a frame is collected. A damaged file raises ValueError with its
    name.
    """

    store: Store

    @classmethod
    def open(cls, place: str | Path) -> "Results":
        """The results at a path or a URL. FileNotFoundError where there is nothing, ValueError for another folder."""
        return cls(Store.open(place, create=False))

    @cached_property
    def trials(self) -> pl.LazyFrame:
        """One row per trial: what happened, and a column for each factor, score and field of the spec.

        Levels, scores and fields are numbers where all their values are, otherwise text. A field of a component has
        its path as a name, such as `model.depth` or `recipe.optimiser.learning_rate`; `model` is the whole component.
        """
        return expand_columns(self._all_rows).lazy()

    @property
    def attempts(self) -> pl.DataFrame:
        """The row of each trial as it was written: the columns of `TrialRow`, with JSON texts in their places."""
        return self._all_rows

    @property
    def curves(self) -> pl.LazyFrame:
        """One row per trial, epoch, split and name."""
        return self._build_lazy_frame(CURVES)

    @property
    def measurements(self) -> pl.LazyFrame:
        """One row per value: trial, measure, stage, group, element, value, interval, floor."""
        return self._build_lazy_frame(MEASUREMENTS)

    def list_finished(self) -> list[dict[str, Any]]:
        """What a plan needs of every trial that is over: status, reason, attempt, seconds, weights. Reads no more."""
        return self._brief_rows.to_dicts()

    def list_measured(self) -> set[tuple[str, str]]:
        """The pairs of trial and measure id that were measured, also where a measure gave no rows. Reads no rows."""
        kept = collect_sources(self._brief_rows)
        pairs = (unit.split(".") for unit in self._list_measured_units() if parse_source(MEASUREMENTS, unit) in kept)
        return {(trial, measure_id) for trial, _, measure_id, *_ in pairs}

    def _list_measured_units(self) -> set[str]:
        return self.store.inventories[MEASUREMENTS.name].list_units()

    def list_levels(self, study: str) -> list[str]:
        """The levels of every trial that this study ran, as JSON texts: what a search has drawn so far."""
        return self._all_rows.filter(study=study)["factors"].to_list()

    def collect_scores(self) -> dict[str, dict[str, float]]:
        """The scores of every trial that is over, by trial and name; none for a failure before the first one."""
        return {trial: json.loads(text or "{}") for trial, text in self._all_rows.select("trial", "scores").iter_rows()}

    def collect_final_scores(self, score: str) -> dict[str, float]:
        """This score of every trial that was trained to its end, by trial."""
        done = self._all_rows.filter(status=TrialStatus.DONE).select("trial", "scores")
        scores = {trial: json.loads(text or "{}").get(score) for trial, text in done.iter_rows()}
        return {trial: float(value) for trial, value in scores.items() if value is not None}

    def collect_histories(self, score: str) -> dict[str, list[tuple[int, float]]]:
        """This score of every trial that is over, epoch by epoch: `test_loss` is the curve `loss` of the split test."""
        split, _, name = score.partition("_")
        rows = self.curves.filter(pl.col("split") == split, pl.col("name") == name).sort("trial", "epoch")
        found: dict[str, list[tuple[int, float]]] = {}
        for trial, epoch, value in rows.select("trial", "epoch", "value").collect().iter_rows():
            found.setdefault(trial, []).append((epoch, value))
        return found

    def find_identities(self, beginning: str = "") -> dict[str, dict[str, Any]]:
        """Everything that went into each trial's id that begins so, by id: the columns of `Trial.columns`."""
        rows = self._all_rows.filter(pl.col("trial").str.starts_with(beginning)).select("trial", "spec", "fingerprint")
        return {
            trial: {**json.loads(spec), "fingerprint": fingerprint, "trial": trial}
            for trial, spec, fingerprint in rows.iter_rows()
        }

    @cached_property
    def _all_rows(self) -> pl.DataFrame:
        return self._select_kept_rows(None)

    @cached_property
    def _brief_rows(self) -> pl.DataFrame:
        return (
            self._all_rows.select(BRIEF_COLUMNS)
            if "_all_rows" in self.__dict__
            else self._select_kept_rows(BRIEF_COLUMNS)
        )

    def _select_kept_rows(self, columns: Sequence[str] | None) -> pl.DataFrame:
        """The one row of each trial."""
        return select_kept_rows(
            self._read_rows(TRIALS, lambda frame: frame if columns is None else frame.select(columns))
        )

    def _build_lazy_frame(self, table: ResultsTable) -> pl.LazyFrame:
        """A frame that lists the files when it is collected: a list made now may be out of date by then."""
        kept = collect_sources(self._all_rows)

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            def narrowed(frame: pl.LazyFrame) -> pl.LazyFrame:
                frame = frame if predicate is None else frame.filter(predicate)
                frame = frame if columns is None else frame.select(columns)
                return frame if n_rows is None else frame.head(n_rows)

            yield self._read_rows(table, lambda frame: narrowed(frame.drop("writer")), kept)

        schema = build_empty_frame(table).drop("writer").schema
        return register_io_source(read, schema=schema, is_pure=True, explain_name=table.name)

    def _read_rows(
        self, table: ResultsTable, narrowed: Callable[[pl.LazyFrame], pl.LazyFrame], kept: set[str] | None = None
    ) -> pl.DataFrame:
        """The rows of a table; `kept` names the sources that count, None means all."""
        inventory = self.store.inventories[table.name]

        def read() -> pl.DataFrame:
            listing = inventory.list_files()
            try:
                return narrowed(scan_listing(inventory, listing, kept)).collect()
            except FileNotFoundError:
                raise
            except READING_ERRORS as error:
                check_damage(inventory, listing)
                raise error from None

        return retry_read(read)


def select_kept_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Of several attempts at a trial the last that is done, or else the last that failed."""
    order = [pl.col("trial"), pl.col("status") != TrialStatus.DONE, -pl.col("attempt"), pl.col("writer")]
    return rows.sort(order).unique("trial", keep="first", maintain_order=True)


def collect_sources(rows: pl.DataFrame) -> set[str]:
    """`trial.attempt.writer` of each row, or `trial.attempt` of rows that name no writer."""
    return set(rows.select(pl.concat_str("trial", "attempt", "writer", separator=".", ignore_nulls=True)).to_series())


def parse_source(table: ResultsTable, unit: str) -> str:
    """From which attempt and writer the unit of a table is: the name of a measure stands between the two."""
    if table.name != MEASUREMENTS.name:
        return unit
    trial, attempt, _, *writer = unit.split(".")
    return ".".join([trial, attempt, *writer])


def build_empty_frame(table: ResultsTable) -> pl.DataFrame:
    """The table without rows, for its schema."""
    frame = pl.from_arrow(table.schema.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


def scan_listing(inventory: Inventory, listing: TableListing, kept: set[str] | None) -> pl.LazyFrame:
    """The rows of a listing that count, each once, from files whose checksums match."""
    files, table = inventory.files, inventory.table
    whole, parts = [], []
    for file in listing.compacted:
        inventory.verify(file.name)  # before its units are trusted: a damaged name would hide its rows
        counting = [unit for unit in file.counting if kept is None or parse_source(table, unit) in kept]
        if counting and len(counting) == len(file.units):
            whole.append(files.address(file.name))
        elif counting:
            unit = pl.concat_str(table.unit, separator=".", ignore_nulls=True)
            parts.append(_scan_files(files, table, [files.address(file.name)]).filter(unit.is_in(counting)))
    small = inventory.load_all_small(
        [file for file in listing.small if kept is None or parse_source(table, file.stem) in kept]
    )
    return pl.concat(
        [
            _scan_files(files, table, whole),
            *parts,
            _scan_files(files, table, [io.BytesIO(data) for _, data in small]),
        ]
    )


def _scan_files(files: Files, table: ResultsTable, sources: Sequence[Any]) -> pl.LazyFrame:
    """The one place where Parquet is read for users: our schema, whatever the files have."""
    empty = build_empty_frame(table)
    if not sources:
        return empty.lazy()
    return pl.scan_parquet(
        list(sources),
        schema=empty.schema,
        missing_columns="insert",
        extra_columns="ignore",
        cast_options=CAST_OPTIONS,
        hive_partitioning=False,
        glob=False,
        storage_options=files.options,
    )


def check_damage(inventory: Inventory, listing: TableListing) -> None:
    """Names the file that cannot be read. Raises FileNotFoundError for one that a compaction has taken away."""
    files, table = inventory.files, inventory.table
    for name in listing.names:
        try:
            _scan_files(files, table, [io.BytesIO(inventory.load(name))]).collect()
        except FileNotFoundError:
            raise
        except READING_ERRORS as error:
            raise build_damage_error(files, name, error) from error
