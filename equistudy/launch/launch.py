"""A launch: the cluster comes up, the study runs there as a job, its words are followed, the cluster goes down."""

import contextlib
import json
import os
import secrets
import shlex
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from equistudy.launch.steps import (
    MAX_KEPT_LINES,
    CommandStep,
    Environment,
    LaunchError,
    explain_failure,
    reveal_secrets,
)
from equistudy.launch.targets import CloudTarget, KubernetesTarget, LocalTarget, SlurmTarget
from equistudy.launch.working_tree import WorkingTree

__all__ = [
    "MAX_RESUBMISSIONS",
    "ClusterJobs",
    "JobEntrypoint",
    "Launch",
    "bring_cluster_down",
    "bring_cluster_up",
    "connect_to_jobs",
    "driver_was_killed",
]

ANSWER_SECONDS = 120.0  # for a tunnel: ssh to a fresh machine takes its time
POLL_SECONDS = 2.0
STOP_SECONDS = 5.0
MAX_RESUBMISSIONS = 3  # how often a job whose driver was killed is submitted again
ReachableTarget = CloudTarget | KubernetesTarget | LocalTarget


class JobEntrypoint(NamedTuple):
    """What runs on the head: `run` with these words, about a study of the working tree."""

    study: Path
    words: tuple[str, ...]

    def build_job_name(self, number: int = 1) -> str:
        """A name that sorts by time and that no other job has."""
        return f"{self.study.stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}-{number}"


@dataclass(frozen=True)
class Launch:
    """A study on its way to a cluster."""

    target: ReachableTarget
    entry: JobEntrypoint
    tree: WorkingTree

    def build_submission(self, address: str, job: str, folder: str) -> CommandStep:
        """Submits the study with its code, and does not wait for it.

        Nodes that share this machine's disk read the code where it lies: Ray would unpack it once for all of them, and
        the first node to go down would take it away from the others and from the driver.
        """
        words = ("ray", "job", "submit", "--no-wait", "--address", address, "--submission-id", job)
        run = ("python", "-m", "equistudy", *self.entry.words)
        if not self.target.shared_disk:
            return CommandStep("the study", (*words, "--working-dir", folder, "--", *run))
        environment = json.dumps({"env_vars": {"PYTHONPATH": folder}})
        there = f"cd {shlex.quote(folder)} && exec {shlex.join(run)}"
        return CommandStep("the study", (*words, "--runtime-env-json", environment, "--", "sh", "-c", there))

    def list_steps(self, port: int) -> list[CommandStep]:
        """Everything that a launch runs, as far as it is known before."""
        address, job = f"http://127.0.0.1:{port}", self.entry.build_job_name()
        tunnel = self.target.build_tunnel(port)
        follow = CommandStep("what it says", ("ray", "job", "logs", "--follow", "--address", address, job))
        submission = self.build_submission(address, job, "COPY-OF-THE-WORKING-TREE")
        return [
            *self.target.build_start_steps(),
            *([tunnel] if tunnel else []),
            submission,
            follow,
            *self.target.build_stop_steps(),
        ]

    def submit(self, jobs: "ClusterJobs", tell: Callable[[str], None], number: int = 1) -> str:
        """Sends the code and starts the job; gives its name."""
        job = self.entry.build_job_name(number)
        with contextlib.ExitStack() as stack:
            kept = self.target.code_folder
            folder = (
                stack.enter_context(tempfile.TemporaryDirectory(prefix="equistudy-")) if kept is None else kept / job
            )
            self.tree.copy_to(Path(folder))
            jobs.run_step(self.build_submission(jobs.address, job, str(folder)), tell)
        return job


@dataclass(frozen=True)
class ClusterJobs:
    """The jobs of a cluster that can be reached from here, at an address, with the token's environment."""

    address: str
    environment: Environment

    def run_step(self, step: CommandStep, tell: Callable[[str], None]) -> str:
        """A command with the cluster's token."""
        return replace(step, environment={**self.environment, **step.environment}).run(tell)

    def _create_client(self) -> Any:
        os.environ.update(reveal_secrets(self.environment))
        from ray._raylet import Config  # type: ignore[attr-defined]  # compiled
        from ray.job_submission import JobSubmissionClient

        Config.initialize("")  # Ray reads its environment when it is imported, which may have been before
        return JobSubmissionClient(self.address)

    def list_jobs(self) -> list[dict[str, Any]]:
        """Name, status and message of every job, the latest first."""
        found = [job for job in self._create_client().list_jobs() if job.submission_id]
        rows = [
            {
                "job": job.submission_id,
                "status": str(job.status.value),
                "started": job.start_time,
                "message": job.message,
            }
            for job in found
        ]
        return sorted(rows, key=lambda row: row["started"] or 0, reverse=True)

    def follow_job(self, job: str, tell: Callable[[str], None]) -> tuple[str, int | None]:
        """Tells what the job says until it ends; gives its status and the exit code of its driver."""
        words = ("ray", "job", "logs", "--follow", "--address", self.address, job)
        client, lost = self._create_client(), 0
        while True:
            with contextlib.suppress(LaunchError):  # a connection that breaks is taken up again
                self.run_step(CommandStep("what it says", words), tell)
            try:
                found = client.get_job_info(job)
            except Exception as error:
                lost += 1
                if lost > ANSWER_SECONDS / POLL_SECONDS:
                    raise LaunchError(
                        f"The cluster at {self.address} no longer responds: {error}. The job continues without "
                        "this machine; follow it with: python -m equistudy attach CLUSTER"
                    ) from error
            else:
                lost = 0
                if found.status.is_terminal():
                    return str(found.status.value), found.driver_exit_code
            time.sleep(POLL_SECONDS)


@contextmanager
def connect_to_jobs(target: ReachableTarget, tell: Callable[[str], None]) -> Iterator[ClusterJobs]:
    """The jobs of a cluster that is up, through a tunnel if it is elsewhere. Raises LaunchError with the way out."""
    environment = target.build_environment(lambda step: step.run(tell))
    address, port = environment.pop("RAY_API_SERVER_ADDRESS", None), _find_free_port()
    tunnel = target.build_tunnel(port)
    if tunnel is None:
        yield ClusterJobs(str(address), environment)
        return
    said: deque[str] = deque(maxlen=MAX_KEPT_LINES)
    tunnel = replace(tunnel, environment=environment)
    with tunnel.start() as process:
        # what it says is read on and on: a full pipe would stop it
        reading = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
        reading.start()
        try:
            _wait_for_tunnel(tunnel, process, port, said)
            yield ClusterJobs(f"http://127.0.0.1:{port}", environment)
        finally:
            process.terminate()
            reading.join(STOP_SECONDS)
            process.kill()


def _wait_for_tunnel(tunnel: CommandStep, process: "subprocess.Popen[str]", port: int, said: "deque[str]") -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        over = time.monotonic() > deadline
        if over or process.poll() is not None:
            process.terminate()
            code = process.wait()
            time.sleep(0.2)  # for its last words
            told = explain_failure(str(tunnel), code, tunnel.mask("".join(said)))
            raise LaunchError(
                f"The cluster's jobs cannot be reached: {'after ' + str(ANSWER_SECONDS) + ' s ' if over else ''}{told}"
            )
        time.sleep(0.2)


def _find_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def bring_cluster_up(target: ReachableTarget | SlurmTarget, tell: Callable[[str], None]) -> None:
    """Runs the commands that bring a cluster up."""
    for step in target.build_start_steps() if not isinstance(target, SlurmTarget) else ():
        tell(f"$ {step}")
        step.run(tell)


def bring_cluster_down(target: ReachableTarget | SlurmTarget, tell: Callable[[str], None]) -> None:
    """Runs the commands that take it down."""
    for step in target.build_stop_steps():
        tell(f"$ {step}")
        step.run(tell)


def driver_was_killed(status: str, code: int | None) -> bool:
    """Whether a job has ended by a signal and not by itself: then it may go on where it was."""
    return status == "FAILED" and (code is None or code < 0 or code > 128)
