import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from equistudy.launch import launch
from equistudy.launch.launch import ClusterJobs, JobEntrypoint, connect_to_jobs, driver_was_killed
from equistudy.launch.steps import CommandStep, LaunchError
from equistudy.launch.targets import CloudTarget, Target, load_target


@pytest.mark.parametrize(
    ("status", "code", "killed"),
    [
        ("FAILED", -9, True),
        ("FAILED", 137, True),
        ("FAILED", None, True),
        ("FAILED", 2, False),
        ("FAILED", 3, False),
        ("SUCCEEDED", 0, False),
        ("STOPPED", -15, False),
    ],
)
def test_only_a_driver_that_was_killed_goes_on(status: str, code: int | None, killed: bool) -> None:
    assert driver_was_killed(status, code) is killed


def test_no_two_jobs_have_a_name() -> None:
    entry = JobEntrypoint(Path("studies/capacity.py"), ("run", "studies/capacity.py"))
    names = {entry.build_job_name() for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith("capacity-") and name.endswith("-1") for name in names)


class Client:
    """A cluster that answers, does not answer, answers, and then says that the job has ended."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = 0

    def get_job_info(self, job: str) -> Any:
        self.asked += 1
        if 1 < self.asked <= 1 + self.failures:
            raise ConnectionError("no route to host")
        ended = self.asked > 1 + self.failures
        status = SimpleNamespace(value="SUCCEEDED" if ended else "RUNNING", is_terminal=lambda: ended)
        return SimpleNamespace(status=status, driver_exit_code=0)


@pytest.mark.parametrize("failures", [0, 3, 99])
def test_a_connection_that_breaks_is_taken_up_again_for_a_while(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(failures)
    monkeypatch.setattr(ClusterJobs, "_create_client", lambda self: client)
    monkeypatch.setattr(ClusterJobs, "run_step", lambda self, step, tell: "")
    monkeypatch.setattr(launch, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(launch, "ANSWER_SECONDS", 0.01)
    jobs = ClusterJobs("http://127.0.0.1:1", {})
    if failures > 10:
        with pytest.raises(LaunchError, match=r"no longer responds: no route to host. The job continues without"):
            jobs.follow_job("job", print)
    else:
        assert jobs.follow_job("job", print) == ("SUCCEEDED", 0)


def tunnelled(monkeypatch: pytest.MonkeyPatch, script: str) -> Target:
    """A target whose tunnel is a script, which gets the port."""
    monkeypatch.setattr(CloudTarget, "build_environment", lambda self, run: {"WHO": "me"})
    words = (sys.executable, "-c", script)
    monkeypatch.setattr(CloudTarget, "build_tunnel", lambda self, port: CommandStep("a tunnel", (*words, str(port))))
    return load_target(Path(__file__).parents[2] / "cluster" / "aws.yaml")


def test_a_tunnel_is_waited_for_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    listening = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"
    with connect_to_jobs(tunnelled(monkeypatch, listening), print) as jobs:
        assert jobs.address.startswith("http://127.0.0.1:")
        assert jobs.environment == {"WHO": "me"}


def test_a_tunnel_that_ends_is_told_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "raise SystemExit('ssh: connect to host 198.51.100.7 port 22: Connection refused')"
    message = r"The cluster's jobs cannot be reached: .* ended with 1: ssh: connect .*\nPort 22 of the head is closed"
    target = tunnelled(monkeypatch, said)
    with pytest.raises(LaunchError, match=message), connect_to_jobs(target, print):
        pass
