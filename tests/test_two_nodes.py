"""One trial over two nodes: the numbers of one process, and a node may die in the middle of it."""

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

from equistudy.execution.job import Conditions, Provenance
from equistudy.execution.plan import make_plan
from equistudy.execution.trial_run import TrialRun
from equistudy.results.results import results
from equistudy.results.store import Store
from equistudy.study.file import load_study
from tests.faults.cluster import Cluster

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
STUDY = """
import equistudy as eq

def trial(seed: int) -> eq.Trial:
    recipe = eq.Recipe(epochs=6, batch_size=64, optimiser=eq.SGD(learning_rate=0.02))
    return eq.Trial(eq.ResNet(8, 4), eq.Digits(), eq.Classification(), eq.RandomCrop(padding=4), recipe, seed)

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
    cluster = Cluster(folder, nodes=2)
    yield cluster
    cluster.stop()


def started(study: Path, place: Path, cluster: Cluster) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "equistudy", "run", str(study), "--results", str(place), "--workers-per-trial", "2"]
    words += ["--address", cluster.address]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ))


def ended(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def curves(place: Path) -> pl.DataFrame:
    return results(place).curves.collect().sort("trial", "epoch", "split", "name")


@pytest.mark.skipif(
    "EQUISTUDY_CLUSTER_TESTS" not in os.environ,
    reason="has not been seen to pass yet; EQUISTUDY_CLUSTER_TESTS=1 runs it",
)
def test_two_nodes_train_as_one_and_survive_the_death_of_one(two_nodes: Cluster, folder: Path) -> None:
    study = folder / "two.py"
    study.write_text(STUDY)
    loaded = load_study(study)
    (job,) = make_plan(loaded.study, None).jobs()
    alone = Store.open(folder / "alone")
    list(TrialRun(job, Conditions(loaded.name, alone, Provenance(None, None, {}))))

    ended(started(study, folder / "both", two_nodes))
    both, one = curves(folder / "both"), curves(folder / "alone")
    assert both.drop("value").equals(one.drop("value"))
    losses = pl.col("name") == "loss"
    apart = (both.filter(losses)["value"] - one.filter(losses)["value"]).abs().max()
    assert apart is not None
    assert float(apart) < 1e-4  # type: ignore[arg-type]
    assert results(folder / "both").trials.collect()["workers"].to_list() == [2]

    process = started(study, folder / "killed", two_nodes)
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob("killed/checkpoints/t_*")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    two_nodes.lose(1)
    told = ended(process)
    assert curves(folder / "killed").equals(both)
    assert results(folder / "killed").trials.collect()["resumed"].to_list() == [1]
    assert "A node is gone: " in told
