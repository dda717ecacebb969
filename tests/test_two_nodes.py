"""A trial over two nodes: the numbers of one process, also where a node dies in the middle of it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from equistudy.results import results
from equistudy.results.store import Store
from equistudy.running.job import Provenance, RunConditions
from equistudy.running.plan import make_plan
from equistudy.running.trial_run import TrialRun
from equistudy.study.file import load_study
from tests.faults.cluster import Cluster

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
# on the nodes the trial takes 13 s and more: time to lose one of them in the middle of it
STUDY = """
import os
import time
from dataclasses import dataclass
import equistudy as eq

@dataclass(frozen=True)
class Paced(eq.RandomCrop):
    def apply(self, images, elements):
        time.sleep(0.4 if "PACED" in os.environ else 0.0)
        return super().apply(images, elements)

def trial(seed: int) -> eq.Trial:
    digits = eq.Digits(canvas=16, digit=8, train_size=512)
    recipe = eq.Recipe(epochs=4, batch_size=64, optimiser=eq.SGD(learning_rate=0.02))
    return eq.Trial(eq.ResNet(8, 4), digits, eq.Classification(), Paced(2), recipe, seed)

study = eq.Study("Do two nodes train one network?", eq.factorial(trial, seeds=range(1)), measures=(eq.Accuracy(),))
"""
PATIENCE = 600.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: Ray's sockets lie in it."""
    path = Path(tempfile.mkdtemp(prefix="two", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def two_nodes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Each has one CPU: two workers of a trial are on two nodes, or they do not start."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", 64 * "e")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with monkeypatch.context() as nodes:
        nodes.setenv("PACED", "")
        cluster = Cluster(folder, nodes=2)
    yield cluster
    cluster.stop()


def losses(place: Path) -> pl.DataFrame:
    return results(place).curves.filter(name="loss").collect().sort("epoch", "split")


def test_two_nodes_train_as_one_and_survive_the_death_of_one(two_nodes: Cluster, folder: Path) -> None:
    study, place = folder / "two.py", folder / "both"
    study.write_text(STUDY)
    words = [sys.executable, "-m", "equistudy", "run", str(study), "--results", str(place), "--workers-per-trial", "2"]
    words += ["--address", two_nodes.address]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ))

    loaded = load_study(study)
    (job,) = make_plan(loaded.study, None).build_jobs()
    alone = Store.open(folder / "alone")
    list(TrialRun(job, RunConditions(loaded.name, alone, Provenance(None, None, {}))))

    deadline = time.monotonic() + PATIENCE
    while not list(place.glob("checkpoints/t_*.pt")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    two_nodes.lose(1)
    told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    assert "A node is gone: " in told
    assert results(place).trials.select("workers", "resumed").collect().rows() == [(2, 1)]
    both, one = losses(place), losses(folder / "alone")
    assert both.drop("value").equals(one.drop("value"))
    # what 32 steps make of the rounding of sums over half a batch; half as large a batch would be 0.1 apart
    apart = float((both["value"] / one["value"] - 1).abs().max())  # type: ignore[arg-type]
    assert apart < 1e-3
