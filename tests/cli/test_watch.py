"""`watch` serves a page until it is ended, and `run --watch` starts one that outlives no run for long."""

import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from equistudy.cli import watch as module
from equistudy.cli.watch import LivePage


@pytest.fixture
def serving(monkeypatch):
    """What `watch` would serve, in place of serving it."""
    served = []

    async def serve(follower, token, port, announce, is_over):
        announce(f"http://127.0.0.1:{port}/{token}/")
        follower.look()
        served.append((follower, port, is_over()))

    monkeypatch.setattr("equistudy.watch.server.serve", serve)
    return served


def test_watch_prints_the_address_of_the_study_s_page(invoke, write, folder, serving):
    done = invoke("watch", write(), "--results", folder, "--port", 8123)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Live page: http://127.0.0.1:8123/")
    ((follower, port, over),) = serving
    assert (port, over) == (8123, False)
    for text in (b'"question":"Does it run?"', b'"counts":{"missing":4}', b'"run":"python -m equistudy run '):
        assert text in follower.pulse.body


def test_watch_takes_a_scale_and_settings(invoke, write, folder, serving):
    assert invoke("watch", write(), "--results", folder, "--scale", "large", "--set", "seeds=0").exit_code == 0
    assert b'"counts":{"missing":3}' in serving[0][0].pulse.body


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_is_a_number(invoke, write, port):
    done = invoke("watch", write(), "--port", port)
    assert done.exit_code == 2
    assert "Invalid value for '--port'" in done.output


def test_a_page_of_a_run_ends_when_the_driver_is_gone_and_nobody_looks(invoke, write, folder, serving, monkeypatch):
    monkeypatch.setattr(module, "FAREWELL_SECONDS", -1.0)
    ending = []
    monkeypatch.setattr(module, "_make_ending", lambda follower: ending.append(follower) or (lambda: True))
    assert invoke("watch", write(), "--results", folder, "--with-driver").exit_code == 0
    assert serving[0][2]
    assert ending == [serving[0][0]]


def test_a_run_does_not_wait_for_its_page(asked, monkeypatch):
    told, started = [], threading.Event()
    monkeypatch.setattr(LivePage, "__init__", lambda self, asked: None)
    monkeypatch.setattr(LivePage, "read_announcement", lambda self: started.wait(30) and "Live page: here")
    LivePage(asked).announce(told.append)
    assert told == []
    started.set()
    deadline = time.monotonic() + 30
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told == ["Live page: here"]


@pytest.mark.slow
def test_a_live_page_in_a_process_of_its_own(asked):
    page = LivePage(asked)
    line = page.read_announcement()
    assert line.startswith("Live page: http://127.0.0.1:")
    url = line.removeprefix("Live page: ")
    with urllib.request.urlopen(url) as response:
        assert b"watch.js" in response.read()
    process = page._process
    del page
    process.terminate()
    process.wait(30)
    process.stdout.close()
    process.stdin.close()


@pytest.mark.slow
def test_the_page_ends_after_a_driver_that_was_killed(asked):
    driver = (
        "import sys, time\nfrom pathlib import Path\nfrom equistudy.cli import watch\n"
        "from equistudy.cli.study_reference import StudyReference\n"
        "page = watch.LivePage(StudyReference(Path(sys.argv[1]), None, sys.argv[2]))\n"
        "print(page.read_announcement(), page._process.pid, flush=True)\ntime.sleep(600)\n"
    )
    command = [sys.executable, "-c", driver, str(asked.study), asked.folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        *_, url, pid = process.stdout.readline().split()
        process.kill()
    time.sleep(1.0)
    with urllib.request.urlopen(f"{url}pulse.json") as response:  # a page that is open shows the end
        assert response.status == 200
    subprocess.run(["kill", pid], check=True)


def test_a_page_that_cannot_start_does_not_stop_the_run(asked):
    page = LivePage(asked._replace(study=asked.study.with_name("absent.py")))
    assert page.read_announcement().startswith("No live page: it did not start. The run goes on;")
    page._process.wait(30)
    page._process.stdout.close()
    page._process.stdin.close()
