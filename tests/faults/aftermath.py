"""What a disturbed study must be equal to at its end, and the faults that strike where it has ended."""

import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
from pyarrow import fs

import equistudy as eq
from equistudy.results import results
from equistudy.results.inventory import ForeignFileWarning
from equistudy.results.store import Store
from equistudy.running.job import Provenance, RunConditions
from equistudy.running.plan import make_plan
from equistudy.running.trial_run import TrialRun
from equistudy.study.file import LoadedStudy, load_study
from tests.faults.strikes import flip_bit

__all__ = ["STUDY", "Aftermath", "assert_equal", "numbers"]

STUDY = Path(__file__).with_name("study.py")
ANOTHER = eq.ShiftConsistency(eq.Translation(max_pixels=2, border=eq.Border.CIRCULAR))


def numbers(place: str, attempts: bool = True) -> list[pl.DataFrame]:
    """All that was learned and measured, in a fixed order; without `attempts`, by whichever attempt."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForeignFileWarning)
        found = results(place)
        trials = found.trials.select("trial", "status", "epochs", "test_accuracy", "test_loss", "train_loss").collect()
        tables = [
            trials.sort("trial"),
            found.curves.collect().sort("trial", "epoch", "split", "name"),
            found.measurements.drop("seconds").collect().sort("trial", "measure", "stage", "element"),
        ]
    return tables if attempts else [table.drop("attempt", strict=False) for table in tables]


def assert_equal(after: str, before: str, attempts: bool = True) -> None:
    for one, other in zip(numbers(after, attempts), numbers(before, attempts), strict=True):
        assert one.equals(other), (one, other)


class Aftermath:
    """The same trials undisturbed, and the results of the campaign in a folder, where what S3 lacks can strike."""

    def __init__(self, place: str, folder: Path, rng: random.Random) -> None:
        self._place, self._folder, self._rng = place, folder, rng
        os.environ.pop("FAULTS_FOLDER", None)
        self._loaded = load_study(STUDY)
        store = Store.open(folder / "undisturbed")
        self.undisturbed = store.url
        train(self._loaded, store)
        self.copied = folder / "copied"

    def copy(self) -> None:
        """The results as a folder."""
        system, path = fs.FileSystem.from_uri(self._place)
        self.copied.mkdir()
        fs.copy_files(path, str(self.copied), source_filesystem=system, destination_filesystem=fs.LocalFileSystem())

    def strike(self, fault: str) -> tuple[str, Callable[[], str]]:
        """Does it; gives what was done, and what looks whether it did no harm."""
        return {"named pipe": self._add_pipe, "flip weights": self._flip_weights}[fault]()

    def _add_pipe(self) -> tuple[str, Callable[[], str]]:
        """A named pipe and a dangling link among the tables: reading and running must not wait for them."""
        for table in ("trials", "curves", "measurements"):
            os.mkfifo(self.copied / table / "t_0123456789abcdef.0.parquet")
            (self.copied / table / "t_fedcba9876543210.0.parquet").symlink_to("/nowhere/at/all")
        return "three of them and three dangling links among the tables", self._read_beside_pipe

    def _read_beside_pipe(self) -> str:
        assert_equal(str(self.copied), self.undisturbed)
        command = [sys.executable, "-m", "equistudy", "run", str(STUDY), "--results", str(self.copied)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert_equal(str(self.copied), self.undisturbed)
        return f"read equal, and `run` has nothing to do: {(done.stderr + done.stdout).splitlines()[-1]}"

    def _flip_weights(self) -> tuple[str, Callable[[], str]]:
        """One bit of one network's stored weights; a measure that is asked for later finds it."""
        rows = results(self.copied).trials.collect().sort("trial")
        row = rows.row(self._rng.randrange(rows.height), named=True)
        path = self.copied / row["weights"]
        weights = path.read_bytes()
        place = self._rng.randrange(8 * len(weights))
        path.write_bytes(flip_bit(weights, place))

        def recovered() -> str:
            wider = self._loaded._replace(
                study=replace(self._loaded.study, measures=(*self._loaded.study.measures, ANOTHER))
            )
            train(wider, Store.open(self.copied))
            train(wider, Store.open(self.undisturbed))
            assert_equal(str(self.copied), self.undisturbed, attempts=False)
            again = results(self.copied).trials.filter(pl.col("attempt") > 0).collect()
            assert again["trial"].to_list() == [row["trial"]], again
            assert (self.copied / "damaged" / row["weights"].replace("/", ".")).exists()
            return "the weights are set aside, the trial is trained again, and another measure is equal for all"

        return f"bit {place} of {row['weights']}", recovered


def train(loaded: LoadedStudy, store: Store) -> None:
    """What the study lacks, in this process, one trial after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForeignFileWarning)
        known = results(store.url) if store.list_names("trials") else None
        for job in make_plan(loaded.study, known).build_jobs():
            list(TrialRun(job, RunConditions(loaded.name, store, Provenance(None, None, {}), raise_errors=True)))
