import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equistudy.execution import autoscaling
from equistudy.execution.autoscaling import CLUSTER_MARKER
from equistudy.execution.cluster_file import ClusterFile
from equistudy.launch import local_head
from equistudy.launch.local_head import LocalHead, start_local_head, stop_local_head

FILE = ClusterFile(Path(__file__).parents[2] / "cluster" / "local.yaml")
SLEEPING = "import time; print('Ray runtime started', flush=True); time.sleep(60)"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the head, and where its state lies."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    monkeypatch.setattr(autoscaling, "build_head_command", lambda *_: [sys.executable, "-c", SLEEPING])
    return local_head._state_path(FILE)


def test_a_head_outlives_its_command_and_only_its_user_knows_the_token(state: Path) -> None:
    assert LocalHead.load(FILE) is None
    running = start_local_head(FILE)
    try:
        assert start_local_head(FILE) == running == LocalHead.load(FILE)
        assert state.stat().st_mode & 0o777 == 0o600
        assert len(running.token) == 64
        environment = Path(f"/proc/{running.pid}/environ").read_bytes()
        assert f"RAY_AUTH_TOKEN={running.token}".encode() in environment
        assert f"{CLUSTER_MARKER}={running.folder}".encode() in environment
    finally:
        assert stop_local_head(FILE)
    os.waitpid(running.pid, 0)
    assert not state.exists()
    assert not Path(running.folder).exists()
    assert not stop_local_head(FILE)


def test_a_head_that_has_died_is_not_taken_for_one_that_runs(state: Path) -> None:
    state.parent.mkdir(parents=True)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    state.write_text(json.dumps(LocalHead("127.0.0.1:1", "http://127.0.0.1:2", "t", "/tmp/none", dead.pid).__dict__))
    assert LocalHead.load(FILE) is None


def test_clusters_of_one_name_have_each_its_state(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two files, of two users, and on two machines that share a home folder."""
    copy = tmp_path / "local.yaml"
    copy.write_text(FILE.path.read_text())
    paths = {state, local_head._state_path(ClusterFile(copy))}
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    paths.add(local_head._state_path(FILE))
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    paths.add(local_head._state_path(FILE))
    assert len(paths) == 4
    assert {path.parent for path in paths} == {state.parent}
    assert all(path.name.startswith("local.") for path in paths)


def test_the_state_of_another_user_is_not_read(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps(LocalHead("127.0.0.1:1", "http://127.0.0.1:2", "t", "/tmp/none", os.getpid()).__dict__))
    monkeypatch.setattr(local_head, "_is_running", lambda running: True)
    assert LocalHead.load(FILE) is not None
    monkeypatch.setattr(local_head, "_state_path", lambda file: state)
    monkeypatch.setattr(os, "getuid", lambda: state.stat().st_uid + 1)
    assert LocalHead.load(FILE) is None
