"""A launch: the cluster comes up, the study runs there as a job, its words are followed, the cluster goes down."""

import contextlib
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from equistudy.launch.steps import KEPT_LINES, LaunchError, Step, explained
from equistudy.launch.targets import Cloud, Kubernetes, Local, Slurm
from equistudy.launch.working_tree import WorkingTree

__all__ = ["AGAIN", "Entry", "Jobs", "Launch", "brought_down", "brought_up", "driver_was_killed", "reached"]

ANSWER_SECONDS = 120.0  # for a tunnel: ssh to a fresh machine takes its time
POLL_SECONDS = 2.0
STOP_SECONDS = 5.0
AGAIN = 3  # how often a job whose driver was killed is submitted again
Reached = Cloud | Kubernetes | Local


class Entry(NamedTuple):
    """What runs on the head: `run` with these words, about a study of the working tree."""

    study: Path
    words: tuple[str, ...]

    def job(self, number: int = 1) -> str:
        """A name that sorts by time and that no other job has."""
        return f"{self.study.stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}-{number}"


@dataclass(frozen=True)
class Launch:
    """A study on its way to a cluster."""

    target: Reached
    entry: Entry
    tree: WorkingTree

    def submission(self, address: str, job: str, folder: str) -> Step:
        """Submits the study with its code, and does not wait for it."""
        words = ("ray", "job", "submit", "--no-wait", "--address", address, "--submission-id", job)
        return Step(
            "the study", (*words, "--working-dir", folder, "--", "python", "-m", "equistudy", *self.entry.words)
        )

    def steps(self, port: int) -> list[Step]:
        """Everything that a launch runs, as far as it is known before."""
        address, job = f"http://127.0.0.1:{port}", self.entry.job()
        tunnel = self.target.tunnel(port)
        follow = Step("what it says", ("ray", "job", "logs", "--follow", "--address", address, job))
        submission = self.submission(address, job, "COPY-OF-THE-WORKING-TREE")
        return [*self.target.up(), *([tunnel] if tunnel else []), submission, follow, *self.target.down()]

    def submit(self, jobs: "Jobs", tell: Callable[[str], None], number: int = 1) -> str:
        """Sends the code and starts the job; gives its name."""
        job = self.entry.job(number)
        with tempfile.TemporaryDirectory(prefix="equistudy-") as folder:
            self.tree.copied(Path(folder))
            jobs.run(self.submission(jobs.address, job, folder), tell)
        return job


@dataclass(frozen=True)
class Jobs:
    """The jobs of a cluster that can be reached from here, at an address, with the token's environment."""

    address: str
    environment: dict[str, str]

    def run(self, step: Step, tell: Callable[[str], None]) -> str:
        """A command with the cluster's token."""
        return Step(step.why, step.words, {**self.environment, **step.environment}, step.given).run(tell)

    def _client(self) -> Any:
        os.environ.update(self.environment)
        from ray._raylet import Config  # type: ignore[attr-defined]  # compiled
        from ray.job_submission import JobSubmissionClient

        Config.initialize("")  # Ray reads its environment when it is imported, which may have been before
        return JobSubmissionClient(self.address)

    def listed(self) -> list[dict[str, Any]]:
        """Name, status and message of every job, the latest first."""
        found = [job for job in self._client().list_jobs() if job.submission_id]
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

    def followed(self, job: str, tell: Callable[[str], None]) -> tuple[str, int | None]:
        """Tells what the job says until it ends; gives its status and the exit code of its driver."""
        words = ("ray", "job", "logs", "--follow", "--address", self.address, job)
        client, lost = self._client(), 0
        while True:
            with contextlib.suppress(LaunchError):  # a connection that breaks is taken up again
                self.run(Step("what it says", words), tell)
            try:
                found = client.get_job_info(job)
            except Exception as error:
                lost += 1
                if lost > ANSWER_SECONDS / POLL_SECONDS:
                    raise LaunchError(
                        f"The cluster at {self.address} does not answer any more: {error}. The job goes on without "
                        "this machine; follow it with: python -m equistudy attach CLUSTER"
                    ) from error
            else:
                lost = 0
                if found.status.is_terminal():
                    return str(found.status.value), found.driver_exit_code
            time.sleep(POLL_SECONDS)


@contextmanager
def reached(target: Reached, tell: Callable[[str], None]) -> Iterator[Jobs]:
    """The jobs of a cluster that is up, through a tunnel if it is elsewhere. Raises LaunchError with the way out."""
    environment = target.environment(lambda step: step.run(tell))
    address, port = environment.pop("RAY_API_SERVER_ADDRESS", None), _free_port()
    tunnel = target.tunnel(port)
    if tunnel is None:
        yield Jobs(str(address), environment)
        return
    said: deque[str] = deque(maxlen=KEPT_LINES)
    with Step(tunnel.why, tunnel.words, environment).start() as process:
        # what it says is read on and on: a full pipe would stop it
        reading = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
        reading.start()
        try:
            _wait(tunnel, process, port, said)
            yield Jobs(f"http://127.0.0.1:{port}", environment)
        finally:
            process.terminate()
            reading.join(STOP_SECONDS)
            process.kill()


def _wait(tunnel: Step, process: "subprocess.Popen[str]", port: int, said: "deque[str]") -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        over = time.monotonic() > deadline
        if over or process.poll() is not None:
            process.terminate()
            code = process.wait()
            time.sleep(0.2)  # for its last words
            told = explained(str(tunnel), code, "".join(said))
            raise LaunchError(
                f"The cluster's jobs cannot be reached: {'after ' + str(ANSWER_SECONDS) + ' s ' if over else ''}{told}"
            )
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def brought_up(target: Reached | Slurm, tell: Callable[[str], None]) -> None:
    """Runs the commands that bring a cluster up."""
    for step in target.up() if not isinstance(target, Slurm) else ():
        tell(f"$ {step}")
        step.run(tell)


def brought_down(target: Reached | Slurm, tell: Callable[[str], None]) -> None:
    """Runs the commands that take it down."""
    for step in target.down():
        tell(f"$ {step}")
        step.run(tell)


def driver_was_killed(status: str, code: int | None) -> bool:
    """Whether a job has ended by a signal and not by itself: then it may go on where it was."""
    return status == "FAILED" and (code is None or code < 0 or code > 128)
