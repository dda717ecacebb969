"""Whatever is killed, whenever: run again, and nothing is lost, nothing is repeated, and every number is the same."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from equistudy.results import results
from tests.undisturbed import run_here

pytestmark = pytest.mark.slow

# long enough to be killed in the middle: about 4 s a trial on one core, and the first checkpoint after one
STUDY = """
import equistudy as eq

def trial(width: int, seed: int) -> eq.Trial:
    recipe = eq.Recipe(epochs=6, batch_size=64, optimiser=eq.SGD(learning_rate=0.02))
    return eq.Trial(eq.ResNet(8, width), eq.Digits(), eq.Classification(), eq.RandomCrop(padding=4), recipe, seed)

study = eq.Study(
    question="Is anything lost?",
    design=eq.factorial(trial, eq.Factor("width", (4, 8)), seeds=range(2)),
    measures=(eq.Accuracy(), eq.WithinCorrelation(eq.Translation(max_pixels=1))),
)
"""
PATIENCE = 600.0


def started(study: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "equistudy",
        "run",
        str(study),
        "--results",
        str(folder),
        "--num-cpus",
        "2",
        *options,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, output
    return output


def waited(seconds: float = PATIENCE) -> Iterator[None]:
    deadline = time.time() + seconds
    while time.time() < deadline:
        yield
        time.sleep(0.05)
    raise AssertionError(f"nothing happened for {seconds:g} s")


def process_in_training(folder: Path) -> int:
    """Waits until a trial under way has a checkpoint, and gives the process that trains it."""
    for _ in waited():
        for checkpoint in (folder / "checkpoints").glob("t_*.pt"):
            sign = folder / "running" / f"{checkpoint.name.partition('.')[0]}.json"
            if sign.exists() and (told := json.loads(sign.read_text()))["phase"] == "training":
                return int(told["pid"])
    raise AssertionError


def numbers(folder: Path) -> list[pl.DataFrame]:
    """All that was learned and measured, in a fixed order."""
    found = results(folder)
    trials = found.trials.select("trial", "status", "epochs", "test_accuracy", "test_loss", "train_loss").collect()
    return [
        trials.sort("trial"),
        found.curves.collect().sort("trial", "epoch", "split", "name"),
        found.measurements.drop("seconds").collect().sort("trial", "measure", "stage", "element"),
    ]


def test_a_killed_driver_a_killed_trial_and_two_runs_at_once_change_nothing(tmp_path: Path) -> None:
    study, folder = tmp_path / "lost.py", tmp_path / "results"
    study.write_text(STUDY)
    run_here(study, tmp_path / "undisturbed")
    driver = started(study, folder)
    process_in_training(folder)
    driver.kill()
    driver.communicate()
    finished = {path.name: path.stat().st_mtime_ns for path in (folder / "trials").glob("*.parquet")}
    assert len(finished) < 4

    both = [started(study, folder), started(study, folder)]
    os.kill(process_in_training(folder), signal.SIGKILL)
    for again in both:
        ended(again)

    rows = {path.name: path.stat().st_mtime_ns for path in (folder / "trials").glob("*.parquet")}
    assert len(rows) == 4
    assert finished.items() <= rows.items()
    assert not list((folder / "checkpoints").glob("t_*"))
    for after, before in zip(numbers(folder), numbers(tmp_path / "undisturbed"), strict=True):
        assert after.equals(before)
    assert results(folder).trials.collect()["resumed"].max() == 1

    assert "4 trials: 4 done" in ended(started(study, folder))
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "trials").glob("*.parquet")} == rows


SEARCH = """
import equistudy as eq

def trial(learning_rate: float, seed: int) -> eq.Trial:
    recipe = eq.Recipe(epochs=4, batch_size=64, optimiser=eq.SGD(learning_rate))
    return eq.Trial(eq.ResNet(8, 2), eq.Digits(), eq.Classification(), eq.NoAugmentation(), recipe, seed)

study = eq.Study(
    question="Is a search lost?",
    design=eq.search(trial, {"learning_rate": eq.LogUniform(1e-5, 0.1)}, num_samples=5, score="test_loss", mode="min",
                     scheduler=eq.Halving(epochs=4, first=1, factor=2), confirm=(1, 2)),
    measures=(eq.Accuracy(),),
)
"""


def test_a_killed_search_goes_on_and_confirms_its_best(tmp_path: Path) -> None:
    """What was drawn before is told again and trained no more; the best of all is trained with other seeds."""
    study, folder = tmp_path / "searched.py", tmp_path / "results"
    study.write_text(SEARCH)
    driver = started(study, folder)
    for _ in waited():
        if len(list((folder / "trials").glob("*.parquet"))) >= 2:
            break
    driver.kill()
    driver.communicate()
    finished = {path.name: path.stat().st_mtime_ns for path in (folder / "trials").glob("*.parquet")}
    output = ended(started(study, folder))
    assert all((folder / "trials" / name).stat().st_mtime_ns == when for name, when in finished.items())
    rows = results(folder).trials.collect()
    drawn, confirmed = rows.filter(seed=0), rows.filter(pl.col("seed") > 0)
    assert drawn.height == drawn["learning_rate"].n_unique() == 5
    done = drawn.filter(status="done")
    assert set(drawn.filter(pl.col("status") != "done")["reason"]) <= {"stopped early"}
    best = done.sort("test_loss")["learning_rate"][0]
    assert confirmed["seed"].sort().to_list() == [1, 2]
    assert set(confirmed["learning_rate"]) == {best}
    assert set(confirmed["round"]) == {"confirmation"}
    table = (folder / "reports" / "searched" / "tables" / "search.md").read_text()
    assert "judged after 1 and 2 epochs, by test loss" in table
    assert table.count("| confirmation |") == 2
    assert table.count("| drawn |") == 5
    assert "Report: " in output
    again = ended(started(study, folder))
    assert "7 trials" in again
    assert results(folder).trials.collect().height == 7
