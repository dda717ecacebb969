import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from equistudy.execution import autoscaling
from equistudy.execution.autoscaling import join_cluster, start_local_cluster
from equistudy.execution.cluster import Site
from equistudy.execution.cluster_file import ClusterFile

# a node takes about ten seconds to start, and a trial must be there to wait for it
STUDY = """
import equistudy as eq

def trial(seed: int) -> eq.Trial:
    digits = eq.Digits(canvas=16, digit=8, train_size=256)
    recipe = eq.Recipe(epochs=2, batch_size=64)
    return eq.Trial(eq.ResNet(8, 2), digits, eq.Classification(), eq.NoAugmentation(), recipe, seed)

study = eq.Study("Do nodes come and go?", eq.factorial(trial, seeds=range(SEEDS)), measures=(eq.Accuracy(),))
"""
WATCH = """
import json, sys, time
import ray

ray.init(sys.argv[1], log_to_driver=False, logging_level="error")
while True:
    workers = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    print(json.dumps([time.time(), len(workers)]), flush=True)
    time.sleep(0.25)
"""
PATIENCE = 300.0
RUN = "EQUISTUDY_TEST_RUN"  # in the environment of every process that a run here starts: its folder


@contextmanager
def watched(address: str, log: Path) -> Iterator[None]:
    """Writes how many worker nodes the cluster reports, several times a second."""
    with log.open("w") as output, subprocess.Popen([sys.executable, "-c", WATCH, address], stdout=output) as process:
        try:
            yield
        finally:
            process.terminate()


def counts(log: Path, since: float = 0.0) -> list[int]:
    told = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [count for when, count in told if when >= since]


def run(study: Path, folder: Path, *options: str) -> str:
    command = [sys.executable, "-m", "equistudy", "run", str(study), "--results", str(folder), *options]
    mine = {**os.environ, RUN: str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=mine)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_nodes_start_for_a_study_and_stop_after_it_twice(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", 64 * "0")
    file, log, study = ClusterFile(root / "cluster" / "local.yaml"), tmp_path / "nodes", tmp_path / "nodes.py"
    with start_local_cluster(file) as address, watched(address, log):
        for seeds in (2, 4):
            since = time.time()
            study.write_text(STUDY.replace("SEEDS", str(seeds)))
            told = run(study, tmp_path / "results", "--address", address, "--cluster", str(file.path))
            assert f"{seeds} trials: {seeds} done" in told
            deadline = time.monotonic() + PATIENCE
            while not counts(log, since) or counts(log, since)[-1]:
                assert time.monotonic() < deadline, counts(log, since)
                time.sleep(0.5)
            seen = counts(log, since)
            assert seen[0] == seen[-1] == 0
            assert max(seen) >= 2  # a node that ends is still reported for a moment


@pytest.mark.slow
def test_a_run_brings_its_own_nodes_and_leaves_none(root: Path, tmp_path: Path) -> None:
    study, folder = tmp_path / "nodes.py", tmp_path / "results"
    study.write_text(STUDY.replace("SEEDS", "1"))
    run(study, folder, "--cluster", str(root / "cluster" / "local.yaml"))
    mark = f"{RUN}={folder}".encode()  # other tests may have a cluster of their own at the same time
    deadline = time.monotonic() + 10  # what is killed may take a moment to go
    while left := [process for process in Path("/proc").glob("[0-9]*") if mark in _read(process / "environ")]:
        assert time.monotonic() < deadline, [_read(process / "cmdline") for process in left]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_head_that_does_not_start_says_why(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        autoscaling, "build_head_command", lambda *_: [sys.executable, "-c", "raise SystemExit('no such option')"]
    )
    with (
        pytest.raises(RuntimeError, match=r"head of the local cluster did not start within 120 s: no such option"),
        start_local_cluster(ClusterFile(root / "cluster" / "local.yaml")),
    ):
        pass


def test_a_head_that_starts_too_late_is_started_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = "raise SystemExit('The current node timed out during startup.')"
    tries = [late, late, "import time; print('Ray runtime started', flush=True); time.sleep(60)"]
    monkeypatch.setattr(autoscaling, "build_head_command", lambda *_: [sys.executable, "-c", tries.pop(0)])
    with start_local_cluster(ClusterFile(root / "cluster" / "local.yaml")):
        assert tries == []


def test_nodes_elsewhere_need_an_address(tmp_path: Path) -> None:
    path = tmp_path / "aws.yaml"
    path.write_text(
        "{cluster_name: c, max_workers: 1, provider: {type: aws, region: eu-west-1}, auth: {ssh_user: ubuntu}, "
        "head_node_type: head, available_node_types: {head: {resources: {CPU: 2}, node_config: {}}}}"
    )
    message = r"must already be running, got .*aws.yaml without --address. Start it with `ray up .*aws.yaml`"
    with pytest.raises(ValueError, match=message), join_cluster(Site(file=path)):
        pass
