import math
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from equistudy.results.store import Store
from equistudy.running.watchdog import HUNG_EXIT_CODE, Watchdog, load_stacks

HANGING = """
import ctypes, sys, time
from equistudy.running.watchdog import Watchdog
from equistudy.results.store import Store

dog = Watchdog(Store.open(sys.argv[1]), "t_1.0", 0.4)
dog.mark_alive()

def stuck_step():
    HANG

stuck_step()
"""


def hang(how: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = HANGING.replace("HANG", how)
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_that_hangs_ends_and_says_where(tmp_path: Path) -> None:
    assert hang("time.sleep(50)", tmp_path / "results").returncode == HUNG_EXIT_CODE
    told = load_stacks(Store.open(tmp_path / "results"), "t_1.0") or ""
    assert told.startswith("no step ended for 0.4 s in process ")
    assert "in stuck_step" in told


def test_a_library_that_hangs_with_pythons_lock_ends_too(tmp_path: Path) -> None:
    # after one look, in which the watching thread has set the timer below Python
    done = hang("time.sleep(0.2); ctypes.PyDLL(None).usleep(50_000_000)", tmp_path / "results")
    assert done.returncode == 1
    assert "in stuck_step" in done.stderr
    assert load_stacks(Store.open(tmp_path / "results"), "t_1.0") is None


def test_whoever_waits_or_has_ended_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("equistudy.running.watchdog.os._exit", ended.append)
    dog = Watchdog(Store.open(tmp_path), "t_1.0", 0.05)
    dog.mark_alive()
    dog.suspend()
    dog._ended.wait(0.3)
    assert ended == []
    dog.mark_alive()
    dog._ended.wait(0.3)
    assert set(ended) == {HUNG_EXIT_CODE}
    dog.stop()
    dog.stop()
    dog.mark_alive()
    assert not dog._thread.is_alive()


def test_nobody_is_watched_without_an_end_of_the_patience(tmp_path: Path) -> None:
    before = threading.active_count()
    watchdog = Watchdog(Store.open(tmp_path), "t_1.0", math.inf)
    watchdog.mark_alive()
    assert threading.active_count() == before
    watchdog.stop()
