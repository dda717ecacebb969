import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equistudy.execution import autoscaling
from equistudy.execution.autoscaling import CLUSTER_MARKER
from equistudy.execution.cluster_file import ClusterFile
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
    return tmp_path / "equistudy" / "local.json"


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
