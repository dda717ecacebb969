"""The tables and their rows: what each column holds, and the version of all that."""

import contextlib
import dataclasses
import importlib.metadata
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from equistudy.measuring.measure import Measurement
from equistudy.results.sealing import CHECKSUM_PLACEHOLDER, insert_checksum

__all__ = [
    "CURVES",
    "MEASUREMENTS",
    "SCHEMA_VERSION",
    "TABLES",
    "TRIALS",
    "CurveRow",
    "ResultsTable",
    "TrialRow",
    "TrialStatus",
]

# Raised by every change of the tables that an older equistudy would misread. A new column is no such change: older
# versions do not ask for it, and newer ones read null where it is missing.
SCHEMA_VERSION = 2

VERSION_KEY, SCHEMA_KEY, UNITS_KEY = b"equistudy:version", b"equistudy:schema", b"equistudy:units"
CHECKSUM_KEY = b"equistudy:checksum"


class TrialStatus(StrEnum):
    """How a trial ended."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class TrialRow:
    """One attempt at a trial, and the marker that it is over. What is unknown is None.

    `factors`, `spec`, `scores`, `versions` and `seeds` are JSON texts of flat objects. `seconds` of training and
    `measuring_seconds` went into the row; `lost_seconds` were trained and lost when a process died. `epochs` and
    `images_seen` count what was trained. `resumed` counts how often a checkpoint was continued. `weights` is a path
    relative to the results. `micro_batch` is the most that a worker passed through the network at once, None for its
    whole share; `compiled` says whether torch's compiler made the network that trained. `skipped` is a JSON list of
    what could not be measured, each with its reason. `network_digest` says what the network was built of. `reason` says
    why there is no network; `message` and `traceback` are the exception's. `writer` is a random name of the process
    that ran the attempt: the curves and measurements of this row are those with the same one.
    """

    trial: str
    attempt: int
    study: str
    status: str
    seed: int
    factors: str
    spec: str
    reason: str | None = None
    message: str | None = None
    traceback: str | None = None
    scores: str | None = None
    parameters: int | None = None
    epochs: int | None = None
    images_seen: int | None = None
    seconds: float | None = None
    measuring_seconds: float | None = None
    lost_seconds: float | None = None
    device: str | None = None
    hardware: str | None = None
    workers: int | None = None
    threads: int | None = None
    deterministic: bool | None = None
    precision: str | None = None
    host: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    commit: str | None = None
    dirty: bool | None = None
    versions: str | None = None
    seeds: str | None = None
    fingerprint: str | None = None
    weights: str | None = None
    skipped: str | None = None
    resumed: int | None = None
    micro_batch: int | None = None
    compiled: bool | None = None
    network_digest: str | None = None
    writer: str | None = None

    def __post_init__(self) -> None:
        if self.status not in list(TrialStatus):
            raise ValueError(f"Trial status must be done or failed, got status={self.status!r}.")
        if (self.status == TrialStatus.FAILED) != (self.reason is not None):
            raise ValueError(
                f"A failed trial needs a reason and a done trial must have none, got status={self.status!r} and "
                f"reason={self.reason!r}."
            )
        for name in ("started", "finished"):
            time = getattr(self, name)
            if time is not None and time.tzinfo is None:
                raise ValueError(f"Times in the tables need a time zone, got {name}={time}. Use datetime.now(UTC).")


@dataclass(frozen=True)
class CurveRow:
    """One number at the end of one epoch, such as the loss on a split or the width of a learned augmentation."""

    epoch: int
    split: str
    name: str
    value: float


ARROW_TYPES = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    datetime: pa.timestamp("us", tz="UTC"),
}


def _build_arrow_fields(row: type) -> list[pa.Field]:
    """A column for each field of a dataclass."""
    hints = get_type_hints(row)
    columns = []
    for field in dataclasses.fields(row):
        hint = hints[field.name]
        options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        (kind,) = [option for option in options if option is not types.NoneType]
        columns.append(pa.field(field.name, ARROW_TYPES[kind]))
    return columns


@dataclass(frozen=True)
class ResultsTable:
    """One of the tables: its folder, its columns, and which of them name a unit.

    A unit is what one write brings in, all or nothing: its rows lie in one file and are never split or doubled. Its
    name is the values of the columns in `unit`, joined by dots; the last of them, the writer, is missing in results of
    schema 1. A file carries the names of its units in its footer. `max_rows` bounds a compacted file.
    """

    name: str
    schema: pa.Schema
    unit: tuple[str, ...]
    max_rows: int

    def encode_rows(self, rows: Iterable[Mapping[str, Any]], units: Sequence[str]) -> bytes:
        """The rows as the bytes of a small Parquet file. Raises ValueError for a column that the table lacks."""
        listed = list(rows)
        for row in listed:
            strange = row.keys() - set(self.schema.names)
            if strange:
                raise ValueError(
                    f"The table {self.name} has no column {', '.join(sorted(strange))}. "
                    f"Columns: {', '.join(self.schema.names)}."
                )
        # statistics, dictionaries and a second copy of the schema cost more than one row is long
        return self.encode_table(pa.Table.from_pylist(listed, schema=self.schema), units, small=True)

    def encode_table(self, table: pa.Table, units: Sequence[str], small: bool = False) -> bytes:
        """The table as the bytes of a Parquet file that names its units and has a checksum."""
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(
            sink,
            table.schema,
            compression="zstd",
            use_dictionary=not small,
            write_statistics=not small,
            store_schema=False,
        ) as writer:
            writer.write_table(table)
            names = {UNITS_KEY: "\n".join(units).encode(), CHECKSUM_KEY: CHECKSUM_PLACEHOLDER}
            writer.add_key_value_metadata({**_build_version_metadata(), **names})
        return insert_checksum(sink.getvalue().to_pybytes())


@cache
def _build_version_metadata() -> dict[bytes, bytes]:
    versions = {SCHEMA_KEY: str(SCHEMA_VERSION).encode()}
    # a checkout that is not installed has no version: the trial's commit says what it is
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions[VERSION_KEY] = importlib.metadata.version("equistudy").encode()
    return versions


_KEY_FIELDS = [pa.field("trial", pa.string()), pa.field("attempt", pa.int64())]
_WRITER_FIELD = pa.field("writer", pa.string())

TRIALS = ResultsTable(
    "trials", pa.schema(_build_arrow_fields(TrialRow)), ("trial", "attempt", "status", "writer"), 100_000
)
CURVES = ResultsTable(
    "curves",
    pa.schema([*_KEY_FIELDS, *_build_arrow_fields(CurveRow), _WRITER_FIELD]),
    ("trial", "attempt", "writer"),
    1_000_000,
)
MEASUREMENTS = ResultsTable(
    "measurements",
    pa.schema([*_KEY_FIELDS, *_build_arrow_fields(Measurement), pa.field("seconds", pa.float64()), _WRITER_FIELD]),
    ("trial", "attempt", "measure_id", "writer"),
    1_000_000,
)
TABLES = (TRIALS, CURVES, MEASUREMENTS)
