"""Whatever lies in the folders of the tables, damaged or foreign: it is named, and no number changes."""

import os
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equistudy.results import results
from equistudy.results.compaction import compact
from equistudy.results.inventory import ForeignFileWarning


def foreign(path):
    pq.write_table(pa.table({"trial": ["t_2"], "attempt": ["first"]}), path)


def link(path):
    path.symlink_to(next(path.parent.glob("t_1.*")))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("t_2.0{}.parquet", foreign),
        ("t_2.0{}.parquet", lambda path: path.write_bytes(next(path.parent.glob("t_1.*")).read_bytes())),
        ("t_1.1{}.parquet", lambda path: path.write_bytes(next(path.parent.glob("t_1.*")).read_bytes())),
        ("t_1.0{} (copy).parquet", lambda path: path.write_bytes(next(path.parent.glob("t_1.*")).read_bytes())),
        ("t_2.0{}.parquet", link),
        ("t_2.0{}.parquet", lambda path: path.symlink_to("/nowhere")),
        ("t_2.0{}.parquet", os.mkfifo),
    ],
)
@pytest.mark.parametrize(("table", "more"), [("trials", ""), ("curves", ""), ("measurements", ".m_1")])
def test_copies_links_pipes_and_files_of_others_are_named_and_ignored(store, whole_trial, table, more, name, make):
    whole_trial(store, "t_1")
    before = [getattr(results(store.url), table).collect() for table in ("trials", "curves", "measurements")]
    name = name.format(more)
    make(Path(store.url, table, name))
    whole_trial(store, "t_3")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = results(store.url)
        after = [getattr(found, table).filter(trial="t_1").collect() for table in ("trials", "curves", "measurements")]
        assert set(found.trials.collect()["trial"]) == {"t_1", "t_3"}
        assert not store.has_trial("t_2")
        compact(store)
    assert all(frame.equals(other) for frame, other in zip(before, after, strict=True))
    told = [str(warning.message) for warning in caught]
    path = Path(store.url, table, name)
    if table == "trials" or path.is_symlink() or not path.is_file() or "copy" in name:  # else no trial asks for it
        assert any(line.startswith(f"Ignored {table}/{name} in {store.url}: ") for line in told)


def test_a_measure_that_is_a_copy_of_another_doubles_nothing(store, whole_trial):
    whole_trial(store, "t_1")
    (path,) = Path(store.url, "measurements").iterdir()
    path.with_name("t_1.0.m_2.parquet").write_bytes(path.read_bytes())
    with pytest.warns(ForeignFileWarning, match=r"Ignored measurements/t_1.0.m_2.parquet in .*: it holds t_1.0.m_1\."):
        assert results(store.url).measurements.collect().height == 2


@pytest.mark.slow
@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("table", ["trials", "curves", "measurements"])
def test_no_flipped_bit_changes_a_number(store, whole_trial, table, compacted):
    """Bytes all over the file. Without checksums a third of them gave other numbers, and Polars panics at some."""
    whole_trial(store, "t_1")
    if compacted:
        compact(store)
    before = getattr(results(store.url), table).collect()
    path = next(Path(store.url, table).rglob("*.parquet"))
    data, named = path.read_bytes(), 0
    places = range(0, len(data), max(5, len(data) // 120))
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(damaged))
        try:
            after = getattr(results(store.url), table).collect()
        except ValueError as error:
            assert f"got {table}/" in str(error)  # noqa: PT017 -- or no error
            named += 1
        else:
            assert after.equals(before)
    assert named >= 0.9 * len(places)


def test_what_a_damaged_file_costs_is_said(store, whole_trial):
    whole_trial(store, "t_1")
    for table, loss in (("curves", "the curves in it are lost"), ("measurements", "trained or measured again")):
        (path,) = Path(store.url, table).iterdir()
        path.write_bytes(b"damaged")
        with pytest.raises(ValueError, match=f"Move that file away; .*{loss}"):
            getattr(results(store.url), table).collect()
