"""What the tests themselves must not do to the environment of a process in which Ray's threads live."""

import ctypes
import os
import subprocess
import sys
from threading import Thread

import pytest

from tests.steady_environment import use_steady_environment


@pytest.mark.parametrize("time", [1, 2])
def test_pytest_writes_no_variable_while_threads_of_ray_read(time: int) -> None:
    assert "PYTEST_CURRENT_TEST" not in os.environ


def test_a_test_that_hangs_ends_the_process(pytestconfig: pytest.Config) -> None:
    assert 0 < float(pytestconfig.getini("faulthandler_timeout")) <= 900
    assert pytestconfig.getini("faulthandler_exit_on_timeout")


def test_changes_of_the_environment_reach_c_and_child_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    get = ctypes.CDLL(None).getenv
    get.restype = ctypes.c_char_p
    monkeypatch.setenv("STEADY_É", "one=1")
    assert get("STEADY_É".encode()) == b"one=1"
    child = [sys.executable, "-c", "import os; print(os.environ.get('STEADY_É'), os.environ['PATH'] != '')"]
    assert subprocess.check_output(child, text=True).split() == ["one=1", "True"]
    monkeypatch.delenv("STEADY_É")
    assert get("STEADY_É".encode()) is None
    assert subprocess.check_output(child, text=True).split() == ["None", "True"]


def test_threads_read_the_environment_while_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.putenv.__module__ == use_steady_environment.__module__
    get = ctypes.CDLL(None).getenv
    get.restype = ctypes.c_char_p
    monkeypatch.setenv("STEADY_FIRST", "here")
    seen: list[bytes | None] = []
    threads = [Thread(target=lambda: seen.extend(get(b"STEADY_FIRST") for _ in range(20_000))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(100):
        monkeypatch.setenv(f"STEADY_{number}", "x" * number)
    for thread in threads:
        thread.join()
    assert set(seen) == {b"here"}


def test_a_process_that_crashes_ends_the_suite(pytestconfig: pytest.Config) -> None:
    """With another process in its place pytest-xdist waits for ever for the rest of a group of tests."""
    assert pytestconfig.getoption("maxworkerrestart") == "0"
