"""How long reading takes: 10,000 trials and 1,000,000 measurements, as small files and compacted.

    python benchmarks/results_scan.py [--trials 10000] [--folder FOLDER]

Prints the median and the range of at least 5 repetitions of each. Every repetition opens the results anew.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from equistudy.measuring.measure import Measurement
from equistudy.results import results
from equistudy.results.compaction import compact
from equistudy.results.schema import CurveRow, TrialRow
from equistudy.results.store import Store

REPETITIONS, STAGES, ELEMENTS, EPOCHS = 5, 10, 10, 30
FIELDS = {f"recipe.field{i}": i * 0.5 for i in range(20)}


def fill(store: Store, trials: int) -> None:
    now = datetime.now(UTC)
    for index in range(trials):
        trial, width, seed = f"t_{index:016x}", 2 ** (index % 8), index // 8
        curves = [CurveRow(epoch, "train", "loss", 1 / (1 + epoch)) for epoch in range(EPOCHS)]
        store.write_curves(trial, 0, curves)
        store.write_measurements(trial, 0, "m_0123456789abcdef", [measured(i, width, seed) for i in range(100)])
        spec = {"model": f"ResNet(width={width})", "model.width": width, "model.depth": 20, "seed": seed, **FIELDS}
        row = TrialRow(
            trial=trial,
            attempt=0,
            study="benchmark",
            status="done",
            seed=seed,
            factors=json.dumps({"width": width, "augmentation": "RandomCrop" if seed % 2 else "NoAugmentation"}),
            spec=json.dumps(spec),
            scores=json.dumps({"test_accuracy": 0.9 + 0.0001 * (index % 100), "test_loss": 0.3}),
            seconds=12.5,
            device="cpu",
            host="host",
            started=now,
            finished=now,
            versions=json.dumps({"torch": "2.13.0", "python": "3.11.7"}),
        )
        store.write_trial(row)


def measured(index: int, width: int, seed: int) -> dict[str, object]:
    value = 1 / width + 0.01 * index + 1e-4 * seed
    row = Measurement(
        measure="within_correlation",
        measure_id="m_0123456789abcdef",
        revision=1,
        stage=f"stage{index // ELEMENTS}",
        depth=index / 100,
        stride=4,
        group="Translation",
        element=f"({index % ELEMENTS}, 0)",
        magnitude=float(index % ELEMENTS),
        grid_aligned=index % 4 == 0,
        value=value,
        low=value - 0.01,
        high=value + 0.01,
        images=500,
        floor=0.1,
    )
    return asdict(row)


def grouped_mean(folder: Path) -> pl.DataFrame:
    """The mean of every measurement by a factor, which is a column of the trials."""
    found = results(folder)
    joined = found.measurements.join(found.trials.select("trial", "width"), on="trial")
    return joined.group_by("width").agg(pl.col("value").mean(), pl.len()).sort("width").collect()


def planned(folder: Path) -> None:
    found = results(folder)
    found.list_finished()
    found.list_measured()


def reads(state: str, folder: Path) -> None:
    reading: dict[str, Callable[[Path], object]] = {
        "grouped mean over a join": grouped_mean,
        "trials, all columns": lambda place: results(place).trials.collect(),
        "trials and curves, all columns": lambda place: results(place).curves.collect(),
        "what a plan asks": planned,
        "Store.list_statuses": lambda place: Store.open(place).list_statuses(),
    }
    for name, function in reading.items():
        seconds = []
        for _ in range(REPETITIONS):
            began = time.perf_counter()
            function(folder)
            seconds.append(time.perf_counter() - began)
        median, low, high = statistics.median(seconds), min(seconds), max(seconds)
        print(f"{state + ': ' + name:46} {median:7.2f} s   ({low:.2f} to {high:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "results"
        store = Store.open(folder)
        began = time.perf_counter()
        fill(store, arguments.trials)
        print(
            f"{arguments.trials} trials written: {(time.perf_counter() - began) / arguments.trials * 1e3:.2f} ms each"
        )
        reads("small files", folder)
        small = grouped_mean(folder)
        began = time.perf_counter()
        print(f"compaction: {compact(store)}, {time.perf_counter() - began:.1f} s")
        assert compact(store).rows == 0
        assert grouped_mean(folder).select("width", "len").equals(small.select("width", "len"))
        reads("compacted", folder)


if __name__ == "__main__":
    main()
