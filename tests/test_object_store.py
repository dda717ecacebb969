"""A study whose results lie in an S3 server on this machine alone: a killed driver, a server that hangs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from equistudy.results import results
from equistudy.results.store import Store
from tests.faults.object_store import SECRETS, object_store, place_of
from tests.undisturbed import run_here

pytestmark = pytest.mark.slow

# about 6 s a trial on one core
STUDY = """
import equistudy as eq

def trial(seed: int) -> eq.Trial:
    recipe = eq.Recipe(epochs=10, batch_size=64, optimiser=eq.SGD(learning_rate=0.02))
    return eq.Trial(eq.ResNet(8, 4), eq.Digits(), eq.Classification(), eq.RandomCrop(padding=4), recipe, seed)

study = eq.Study(
    question="Does a study need a disk?",
    design=eq.factorial(trial, seeds=range(2)),
    measures=(eq.Accuracy(),),
)
"""
PATIENCE = 600.0
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """An S3 server in its own process, with an empty bucket, and its address."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in SECRETS.items():
            environment.setenv(name, value)
        with object_store() as started:
            yield started


def until(condition: Callable[[], Any], process: "subprocess.Popen[str] | None" = None) -> Any:
    """What the condition gives, once it is something; `process` must not have ended before."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "disk.py"
    path.write_text(STUDY)
    return path


def started(command: str, study: Path, place: str, *options: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "equistudy", command, str(study), *options, "--results", place]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # its own folder: a report on results in a store is written beside the study's user
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=study.parent
    )


def ended(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def numbers(place: str) -> list[pl.DataFrame]:
    """All that was learned and measured, in a fixed order."""
    found = results(place)
    trials = found.trials.select("trial", "status", "epochs", "test_accuracy", "test_loss", "train_loss").collect()
    measurements = found.measurements.drop("seconds").collect()
    return [
        trials.sort("trial"),
        found.curves.collect().sort("trial", "epoch", "split", "name"),
        measurements.sort("trial"),
    ]


@pytest.fixture(scope="module")
def undisturbed(study: Path, tmp_path_factory: pytest.TempPathFactory) -> list[pl.DataFrame]:
    """The same study in a local folder, in this process."""
    folder = tmp_path_factory.mktemp("undisturbed") / "results"
    run_here(study, folder)
    return numbers(str(folder))


@pytest.mark.long
def test_a_study_runs_in_a_store_alone_and_survives_the_death_of_its_driver(server, study, undisturbed) -> None:
    _, address = server
    place = place_of(address, "killed")
    driver = started("run", study, place, "--num-cpus", "2")
    store = until(lambda: _opened(place), driver)
    until(lambda: store.list_names("checkpoints"), driver)
    driver.kill()
    driver.communicate()
    assert len(store.list_names("trials")) < 2

    assert "2 trials: 2 done" in ended(started("run", study, place, "--num-cpus", "2"))
    for after, before in zip(numbers(place), undisturbed, strict=True):
        assert after.equals(before)
    assert results(place).trials.collect()["resumed"].max() == 1
    assert "2 trials: 2 done" in ended(started("status", study, place))
    assert "index.html" in ended(started("report", study, place))
    stored = [
        store.read_bytes(f"{folder}/{name}") for folder in ("trials", "curves") for name in store.list_names(folder)
    ]
    assert stored
    assert not any(b"planted-secret" in (content or b"") for content in stored)


@pytest.fixture
def launch(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Launches the study as a job on a node of this machine, which is gone in the end."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    file = study.with_name("local.yaml")
    text = (ROOT / "cluster" / "local.yaml").read_text().replace("max_workers: 2", "max_workers: 1")
    file.write_text(text.replace("name: local", "name: launched"))
    yield lambda place: started("launch", file, place, str(study))
    ended(subprocess.Popen([sys.executable, "-m", "equistudy", "down", str(file)], stdout=subprocess.PIPE, text=True))


def _driver(place: str) -> int | None:
    """The process of `run` that the job has started."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[1:4] == ["-m", "equistudy", "run"] and place in words:
            return int(process.pid)
    return None


def test_a_study_runs_in_a_store_alone_as_a_job_and_survives_the_death_of_its_driver(
    server, study, undisturbed, launch
) -> None:
    _, address = server
    place = place_of(address, "job")
    launched = launch(place)
    store = until(lambda: _opened(place), launched)
    until(lambda: store.list_names("checkpoints"), launched)
    os.kill(until(lambda: _driver(place), launched), signal.SIGKILL)
    assert len(store.list_names("trials")) < 2

    told = ended(launched)
    assert "died; finished trials are kept, the rest is submitted again" in told
    assert "Job: done" in told
    assert "local.yaml is down" in told
    for after, before in zip(numbers(place), undisturbed, strict=True):
        assert after.equals(before)
    rows = results(place).trials.collect()
    assert rows["resumed"].max() == 1
    listed = subprocess.run(
        [sys.executable, "-m", "equistudy", "results", place], capture_output=True, text=True, check=True
    )
    assert all(trial in listed.stdout for trial in rows["trial"])
    assert "2 trials: 2 done" in ended(started("status", study, place))
    assert "index.html" in ended(started("report", study, place))
    page = (study.parent / "reports" / study.stem / "index.html").read_bytes()
    folders = ("trials", "curves", "measurements", "weights", "hangs", "preempted")
    stored = [store.read_bytes(f"{folder}/{name}") for folder in folders for name in store.list_names(folder)]
    assert len(stored) >= 8
    assert not any(b"planted-secret" in (content or b"") for content in [*stored, page, told.encode()])


def _opened(place: str) -> Store | None:
    try:
        return Store.open(place, create=False)
    except FileNotFoundError:
        return None


@pytest.mark.long
def test_a_store_that_does_not_answer_for_a_while_changes_nothing(server, study, undisturbed) -> None:
    process, address = server
    place = place_of(address, "hung")
    driver = started("run", study, place, "--num-cpus", "2")
    store = until(lambda: _opened(place), driver)
    until(lambda: store.list_names("checkpoints"), driver)
    process.send_signal(signal.SIGSTOP)
    time.sleep(10)
    process.send_signal(signal.SIGCONT)
    assert "2 trials: 2 done" in ended(driver)
    for after, before in zip(numbers(place), undisturbed, strict=True):
        assert after.equals(before)
