"""Each unit counts in exactly one file, however often a compaction was killed."""

from pathlib import Path

import pyarrow as pa
import pytest

from equistudy.results import inventory as module
from equistudy.results import results
from equistudy.results.files import LocalFiles, StorageError
from equistudy.results.inventory import Inventory, retry_read
from equistudy.results.schema import CURVES


def curves_of(*trials):
    rows = [
        {"trial": trial, "attempt": 0, "epoch": 0, "split": "train", "name": "loss", "value": 1.0} for trial in trials
    ]
    return CURVES.encode_rows(rows, [f"{trial}.0" for trial in trials])


@pytest.fixture
def overlapping(store, row):
    """A newer compacted file, an older one that shares a unit with it, and a small file that both have."""
    for trial in ("t_1", "t_2", "t_3", "t_4"):
        store.write_trial(row(trial))
    store.write_bytes("curves/compacted/000001-00000000000000aa.parquet", curves_of("t_1", "t_2"))
    store.write_bytes("curves/compacted/000002-00000000000000bb.parquet", curves_of("t_2", "t_3"))
    store.write_bytes("curves/t_2.0.parquet", curves_of("t_2"))
    store.write_bytes("curves/t_4.0.parquet", curves_of("t_4"))
    return store


def test_the_newer_file_counts(overlapping):
    listing = overlapping.inventories["curves"].list_files()
    assert [file.counting for file in listing.compacted] == [("t_3.0",), ("t_1.0",)]
    assert [file.stem for file in listing.small] == ["t_2.0", "t_4.0"]
    assert overlapping.inventories["curves"].list_units() == {"t_1.0", "t_2.0", "t_3.0", "t_4.0"}


def test_every_row_is_read_once(overlapping):
    assert sorted(results(overlapping.url).curves.collect()["trial"]) == ["t_1", "t_2", "t_3", "t_4"]


def test_a_listing_that_missed_a_file_is_made_again(overlapping, monkeypatch):
    """A file renamed and one deleted during a listing: it may show neither."""
    real, calls = LocalFiles.list_regular, []

    def racing(self, folder):
        calls.append(folder)
        return ([], []) if len(calls) == 1 else real(self, folder)

    inventory = Inventory(overlapping.files, CURVES)
    monkeypatch.setattr(LocalFiles, "list_regular", racing)
    assert len(inventory.list_compacted()) == 2
    assert len(calls) == 3


def test_a_listing_that_never_settles_is_an_error(overlapping, monkeypatch):
    counter = iter(range(1000))
    names = (f"{number:06d}-{'0' * 16}.parquet" for number in counter)
    monkeypatch.setattr(LocalFiles, "list_regular", lambda self, folder: ([next(names)], []))
    with pytest.raises(
        StorageError,
        match=r"curves/compacted of .* keeps changing while it is read. Wait until the compaction has finished",
    ):
        Inventory(overlapping.files, CURVES).list_compacted()


def test_footers_of_compacted_files_are_read_once(overlapping, monkeypatch):
    inventory = Inventory(overlapping.files, CURVES)
    inventory.list_compacted()
    monkeypatch.setattr(module.Inventory, "read_footer", lambda self, name: pytest.fail("read again"))
    assert len(inventory.list_compacted()) == 2


def test_settled_gives_up_in_the_end():
    attempts = []

    def vanishing():
        attempts.append(1)
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        retry_read(vanishing)
    assert len(attempts) == module.MAX_RETRIES


def test_a_damaged_compacted_file_is_named(overlapping):
    path = Path(overlapping.url, "curves", "compacted", "000001-00000000000000aa.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        ValueError, match=r"got curves/compacted/000001-00000000000000aa.parquet in .*Move that file away"
    ):
        results(overlapping.url).curves.collect()


def test_a_file_without_units_is_foreign(overlapping):
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"trial": ["t_9"]}), sink)
    overlapping.write_bytes("curves/compacted/000003-00000000000000cc.parquet", sink.getvalue().to_pybytes())
    with pytest.raises(ValueError, match=r"000003-00000000000000cc.parquet in .*: it was not written by equistudy"):
        overlapping.inventories["curves"].list_files()
