"""The tables have the columns of their rows, and refuse others."""

import io
from dataclasses import fields
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equistudy.measuring.measure import Measurement
from equistudy.results.schema import CURVES, MEASUREMENTS, TABLES, TRIALS, CurveRow, TrialRow


def test_columns_are_the_fields_of_the_rows():
    assert TRIALS.schema.names == [field.name for field in fields(TrialRow)]
    assert CURVES.schema.names == ["trial", "attempt", *(field.name for field in fields(CurveRow)), "writer"]
    assert MEASUREMENTS.schema.names == [
        "trial",
        "attempt",
        *(field.name for field in fields(Measurement)),
        "seconds",
        "writer",
    ]


def test_column_types():
    assert TRIALS.schema.field("finished").type == pa.timestamp("us", tz="UTC")
    assert TRIALS.schema.field("dirty").type == pa.bool_()
    assert MEASUREMENTS.schema.field("stride").type == pa.int64()
    assert MEASUREMENTS.schema.field("low").type == pa.float64()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_an_empty_file_has_all_columns_and_its_unit(table):
    file = pq.ParquetFile(io.BytesIO(table.encode_rows([], ["t_1.0"])))
    assert file.schema_arrow.remove_metadata() == table.schema
    assert file.metadata.metadata[b"equistudy:units"] == b"t_1.0"
    assert file.metadata.metadata[b"equistudy:schema"] == b"2"


def test_unknown_column_is_refused():
    with pytest.raises(ValueError, match=r"table curves has no column loss.*Columns: trial, attempt, epoch"):
        CURVES.encode_rows([{"trial": "t_1", "loss": 1.0}], ["t_1.0"])


def test_status_is_done_or_failed(row):
    with pytest.raises(ValueError, match=r"status must be done or failed, got status='finished'"):
        row(status="finished")


@pytest.mark.parametrize(("status", "reason"), [("done", "bug"), ("failed", None)])
def test_only_failures_have_a_reason(row, status, reason):
    with pytest.raises(ValueError, match=f"got status='{status}' and reason={reason!r}"):
        row(status=status, reason=reason)


def test_times_need_a_zone(row):
    assert row(started=datetime.now(UTC)).started is not None
    with pytest.raises(ValueError, match=r"need a time zone, got finished=2026-01-02.*datetime.now\(UTC\)"):
        row(finished=datetime(2026, 1, 2))
