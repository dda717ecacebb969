"""What a cluster costs: scheduling many trials, writing to a store, and losing a node.

    scheduling   trials that do nothing but build a network and write their row, over four local Ray nodes of one CPU:
                 trials a second from the first row to the last, and the driver's largest memory
    writes       one trial of about a minute in this process: the share of its time in which it waits for writes of
                 checkpoints and rows, into a local folder and into an S3 server on loopback
    recovery     kill -9 of the raylet of one of two nodes: from when the run notices until its trial trains again on
                 the node that comes in its place

    python -m benchmarks.cluster_faults scheduling [--trials 2000]
    python -m benchmarks.cluster_faults writes [--epochs 60]
    python -m benchmarks.cluster_faults recovery [--repetitions 3]

Expect 20 trials a second and less than 1 GB; less than 2 %; less than 30 s.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from equistudy.results import results
from equistudy.results.files import LocalFiles, RemoteFiles
from equistudy.results.store import Store
from equistudy.running.job import Provenance, RunConditions
from equistudy.running.plan import make_plan
from equistudy.running.trial_run import TrialRun
from equistudy.study.file import load_study
from tests.faults.cluster import Cluster
from tests.faults.object_store import SECRETS, object_store, place_of

ROOT = Path(__file__).parents[1]
STUDY = '''"""Trials for a benchmark."""

import equistudy as eq


def trial(seed: int) -> eq.Trial:
    digits = eq.Digits(canvas=16, digit=8, train_size={examples})
    recipe = eq.Recipe(epochs={epochs}, batch_size=64)
    return eq.Trial(eq.ResNet(8, {width}), digits, eq.Classification(), eq.NoAugmentation(), recipe, seed)


study = eq.Study("What does a cluster cost?", eq.factorial(trial, seeds=range({trials})), measures=())
'''


def written(folder: Path, trials: int, epochs: int, examples: int = 1024, width: int = 8) -> Path:
    path = folder / "cost.py"
    path.write_text(STUDY.format(trials=trials, epochs=epochs, examples=examples, width=width))
    return path


@contextmanager
def cluster(nodes: int) -> Iterator[tuple[Cluster, Path]]:
    folder = Path(tempfile.mkdtemp(prefix="bc", dir="/tmp"))
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=64 * "b", OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    made = Cluster(folder, nodes)
    try:
        yield made, folder
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def run(study: Path, folder: Path, address: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "equistudy", "run", str(study), "--results", str(folder / "results")]
    command += ["--address", address]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def scheduling(trials: int) -> None:
    with cluster(4) as (made, folder):
        driver = run(written(folder, trials, epochs=0, examples=64, width=1), folder, made.address)
        process, largest = psutil.Process(driver.pid), 0
        with (folder / "told").open("w") as told:
            pipe = subprocess.Popen(["cat"], stdin=driver.stderr, stdout=told)
            while driver.poll() is None:
                try:
                    largest = max(largest, process.memory_info().rss)
                except psutil.NoSuchProcess:
                    break
                time.sleep(0.5)
            pipe.wait()
        assert driver.wait() == 0, (folder / "told").read_text()[-2000:]
        rows = results(str(folder / "results")).trials.select("started", "finished").collect()
        first, last = rows["finished"].min(), rows["finished"].max()
        seconds = (last - first).total_seconds()
        print(f"{len(rows)} trials in {seconds:.1f} s: {(len(rows) - 1) / seconds:.1f} a second (>= 20)")
        print(f"largest memory of the driver: {largest / 1e9:.2f} GB (< 1)")


def timed_trial(study: Path, place: str) -> tuple[float, float, int]:
    """Seconds of the trial, of the writes that it waits for, and how many of them."""
    spent, count = 0.0, 0
    kinds = (LocalFiles, RemoteFiles)
    before = {kind: kind.write for kind in kinds}

    def timing(kind: type) -> object:
        def write(self: object, *arguments: object, **options: object) -> bool:
            nonlocal spent, count
            if threading.current_thread() is not threading.main_thread():
                return before[kind](self, *arguments, **options)  # a sign of life: training does not wait for it
            began = time.perf_counter()
            try:
                return before[kind](self, *arguments, **options)
            finally:
                spent += time.perf_counter() - began
                count += 1

        return write

    loaded = load_study(study)
    (job,) = make_plan(loaded.study, None).build_jobs()
    store = Store.open(place)
    for kind in kinds:
        kind.write = timing(kind)
    try:
        began = time.perf_counter()
        list(TrialRun(job, RunConditions(loaded.name, store, Provenance(None, None, {}))))
        return time.perf_counter() - began, spent, count
    finally:
        for kind in kinds:
            kind.write = before[kind]


def writes(epochs: int) -> None:
    os.environ.update(SECRETS)
    with tempfile.TemporaryDirectory() as temporary, object_store() as (_, address):
        study = written(Path(temporary), 1, epochs)
        for name, where in (("a local folder", f"{temporary}/results"), ("the S3 server", place_of(address))):
            seconds, spent, count = timed_trial(study, where)
            print(
                f"{name}: {count} writes of {spent:.2f} s in a trial of {seconds:.0f} s: {spent / seconds:.2%} (< 2 %)"
            )


def recovery(repetitions: int) -> None:
    for _ in range(repetitions):
        with cluster(2) as (made, folder):
            driver = run(written(folder, trials=2, epochs=2000), folder, made.address)
            assert driver.stderr is not None
            signs = folder / "results" / "running"
            while len(list(signs.glob("t_*.json"))) < 2 or not list(folder.glob("results/checkpoints/t_*")):
                time.sleep(0.2)
            before = {json.loads(sign.read_text())["pid"] for sign in signs.glob("t_*.json")}
            killed = time.monotonic()
            made.lose(0)
            for line in driver.stderr:
                if "A node is gone" in line:
                    break
            noticed = time.monotonic()
            while True:
                told = [json.loads(sign.read_text()) for sign in signs.glob("t_*.json")]
                if any(sign["pid"] not in before and sign["phase"] == "training" for sign in told):
                    break
                time.sleep(0.1)
            again = time.monotonic()
            print(
                f"noticed {noticed - killed:.1f} s after the kill; trains again {again - noticed:.1f} s later (< 30)",
                flush=True,
            )
            driver.kill()
            driver.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scheduling", "writes", "recovery"))
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument(
        "--epochs", type=int, default=60, help="of the trial of `writes`: so many that it takes a minute"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    {
        "scheduling": lambda: scheduling(arguments.trials),
        "writes": lambda: writes(arguments.epochs),
        "recovery": lambda: recovery(arguments.repetitions),
    }[arguments.what]()


if __name__ == "__main__":
    main()
