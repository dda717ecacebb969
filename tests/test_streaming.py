"""Trials of two workers from end to end, streamed by Ray Data and not: a kill within an epoch, and a shard cut off."""

import os
import signal
from pathlib import Path

import pytest

from equistudy.results import results
from tests.datasets.shards import shards
from tests.test_kill import ended, numbers, process_in_training, started
from tests.undisturbed import run_in_two_processes

pytestmark = pytest.mark.slow

# 30 steps an epoch: the first checkpoint is written in a pause after 16 of them
STUDY = """
import equistudy as eq

IMAGES = eq.ParquetImages("FOLDER", 64, streamed=True)
SMALL = eq.Digits(canvas=16, digit=8, train_size=60, test_size=60)

def trial(dataset: eq.Dataset, seed: int) -> eq.Trial:
    recipe = eq.Recipe(epochs=2, batch_size=2, optimiser=eq.SGD(learning_rate=0.01))
    return eq.Trial(eq.ResNet(8, 2), dataset, eq.Classification(), eq.HorizontalFlip(), recipe, seed)

study = eq.Study(
    question="Is anything seen twice?",
    design=eq.factorial(trial, eq.Factor("dataset", (IMAGES, SMALL)), seeds=range(1)),
    measures=(eq.Accuracy(), eq.WithinCorrelation(eq.Translation(max_pixels=1))),
)
"""


def test_a_killed_worker_of_a_shared_trial_goes_on_within_the_epoch(tmp_path: Path) -> None:
    shards(tmp_path / "images")
    study = tmp_path / "shared.py"
    study.write_text(STUDY.replace("FOLDER", str(tmp_path / "images")))
    folders = [tmp_path / "undisturbed", tmp_path / "killed"]
    run_in_two_processes(study, folders[0])
    process = started(study, folders[1], "--workers-per-trial", "2")
    os.kill(process_in_training(folders[1]), signal.SIGKILL)
    ended(process)
    for straight, killed in zip(*(numbers(folder) for folder in folders), strict=True):
        assert straight.equals(killed)
    rows = [results(folder).trials.collect() for folder in folders]
    assert [sorted(row["resumed"]) for row in rows] == [[0, 0], [0, 1]]
    assert [set(row["images_seen"]) for row in rows] == [{120}, {120}]


def test_a_shard_that_is_cut_off_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    shards(tmp_path / "images")
    study = tmp_path / "streamed.py"
    study.write_text(STUDY.replace("FOLDER", str(tmp_path / "images")))
    path = tmp_path / "images" / "train-00001.parquet"
    path.write_bytes(path.read_bytes()[:-500])
    told = ended(started(study, tmp_path / "results"), code=2)
    assert "train-00001.parquet" in told
    assert "Copy it again" in told
    assert not list((tmp_path / "results").glob("*/*"))
