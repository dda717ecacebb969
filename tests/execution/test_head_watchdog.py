"""What ends a process whose cluster has lost its head."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equistudy.cli.errors import ExitCode
from equistudy.execution.head_watchdog import (
    HEAD_LOST_EXIT_CODE,
    LOCAL_PATIENCE_SECONDS,
    RECONNECT_VARIABLE,
    HeadWatchdog,
    choose_patience,
)

PATIENCE = 5.0

# A `ray` of which only the address of the head is real: a socket that the script closes.
FAKE = """
import socket, sys, time, types
from equistudy.execution import head_watchdog as module
head = socket.create_server(("127.0.0.1", 0))
context = types.SimpleNamespace(gcs_address="127.0.0.1:%d" % head.getsockname()[1])
worker = types.SimpleNamespace(_global_node=types.SimpleNamespace(all_processes={}))
sys.modules["ray"] = types.SimpleNamespace(
    get_runtime_context=lambda: context, _private=types.SimpleNamespace(worker=worker)
)
module.CHECK_SECONDS, module.LOCAL_PATIENCE_SECONDS = 0.05, 0.3
with module.watch_head(True, module.tell_head_lost):
    time.sleep(0.5)
    print("the head answers", flush=True)
    head.close()
    time.sleep(30)
"""

REAL = """
import json, os, signal, time
from equistudy.execution import head_watchdog as module
from equistudy.execution.cluster import connect_to_ray
module.CHECK_SECONDS, module.LOCAL_PATIENCE_SECONDS = 0.2, 1.0
with connect_to_ray(None, 1):
    import ray
    trial = ray.remote(type("Trial", (), {"train": lambda self, seconds: time.sleep(seconds) or os.getpid()})).remote()
    started = [each.process.pid for some in ray._private.worker._global_node.all_processes.values() for each in some]
    print(json.dumps([*started, ray.get(trial.train.remote(0))]), flush=True)
    os.kill(ray._private.worker._global_node.all_processes["gcs_server"][0].process.pid, signal.SIGKILL)
    ray.get(trial.train.remote(60))
"""


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)


@given(st.lists(st.tuples(st.floats(0, 8), st.booleans()), max_size=30))
def test_the_head_is_lost_once_it_has_been_silent_for_the_whole_patience(checks: list[tuple[float, bool]]) -> None:
    now, answers = 0.0, True
    watchdog = HeadWatchdog(lambda: answers, PATIENCE, lambda: now)
    history: list[tuple[float, bool]] = []
    for pause, answers in checks:
        now += pause
        history.append((now, answers))
        last_answer = max((k for k, (_, each) in enumerate(history) if each), default=-1)
        silent = history[last_answer + 1 :]
        assert watchdog.is_lost() == (bool(silent) and now - silent[0][0] >= PATIENCE)


@pytest.mark.parametrize(
    ("value", "wanted"), [(None, 40.0), ("600", 580.0), ("1", LOCAL_PATIENCE_SECONDS), ("x", 40.0)]
)
def test_a_cluster_may_start_its_head_again_as_long_as_ray_waits(
    monkeypatch: pytest.MonkeyPatch, value: str | None, wanted: float
) -> None:
    monkeypatch.delenv(RECONNECT_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(RECONNECT_VARIABLE, value)
    assert choose_patience(is_local=False) == wanted
    assert choose_patience(is_local=True) == LOCAL_PATIENCE_SECONDS


def test_a_head_that_no_longer_answers_ends_the_process_with_the_reason() -> None:
    done = run_script(FAKE)
    assert done.returncode == HEAD_LOST_EXIT_CODE == ExitCode.CLUSTER_LOST, done.stderr
    assert done.stdout == "the head answers\n"
    (line,) = done.stderr.splitlines()
    assert "no longer answers: killed, perhaps for lack of memory. Finished trials are kept" in line
    assert line.endswith("Run the same command again.")


@pytest.mark.slow
def test_a_killed_head_of_ray_ends_the_run_and_all_its_processes() -> None:
    done = run_script(REAL)
    assert done.returncode == HEAD_LOST_EXIT_CODE, done.stderr
    assert "Ray's head process (gcs_server at 127.0.0.1:" in done.stderr
    assert "Traceback" not in done.stderr
    running, deadline = set(map(int, done.stdout.strip("[]\n").split(","))), time.monotonic() + 20
    while running and time.monotonic() < deadline:
        running = {pid for pid in running if os.path.exists(f"/proc/{pid}")}  # noqa: PTH110
        time.sleep(0.1)
    assert not running
