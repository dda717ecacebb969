"""What the commands about a cluster hand on, and how they end; what they do is the matter of `launching`."""

from pathlib import Path

import pytest

from equistudy.cli import launching
from equistudy.cli.errors import ExitCode
from equistudy.cli.launching import LaunchRequest


def test_launch_hands_on_what_was_asked_and_ends_as_the_study_did(invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def launched(wanted, keep, detach, tell):
        asked.append((wanted, keep, detach))
        tell("on the way")
        return ["Job: done"], ExitCode.FAILED_TRIALS

    monkeypatch.setattr(launching, "launch_study", launched)
    words = ("c.yaml", "q.py", "--scale", "paper", "--results", "s3://b", "--keep", "--", "--keep-going")
    done = invoke("launch", *words)
    assert asked == [(LaunchRequest(Path("c.yaml"), Path("q.py"), "s3://b", "paper", ("--keep-going",)), True, False)]
    assert (done.exit_code, done.stdout, done.stderr) == (ExitCode.FAILED_TRIALS, "Job: done\n", "on the way\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--keepgoing",), "No such option '--keepgoing'. Did you mean '--keep-going'?"),
        (("--pack", "x"), "Invalid value for '--pack'"),
        (("--address", "auto"), "launch passes --address to run itself, got --address behind --. Leave it out there."),
        (("--scale=paper",), "launch passes --scale to run itself"),
        (("another.py",), "Got unexpected extra argument (another.py)"),
    ],
)
def test_what_run_would_refuse_there_is_refused_here(
    words: tuple[str, ...], message: str, invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "describe_launch", lambda wanted: pytest.fail("described"))
    done = invoke("launch", "c.yaml", "q.py", "--dry-run", "--", *words)
    assert done.exit_code == ExitCode.USAGE
    assert message in done.stderr


def test_a_dry_run_launches_nothing(invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "launch_study", lambda *arguments: pytest.fail("launched"))
    monkeypatch.setattr(launching, "describe_launch", lambda wanted: [f"ray up {wanted.cluster}"])
    done = invoke("launch", "c.yaml", "q.py", "--dry-run")
    assert (done.exit_code, done.stdout) == (ExitCode.DONE, "ray up c.yaml\n")


@pytest.mark.parametrize(
    ("words", "expected"), [((), (None, False)), (("--job", "capacity-1", "--keep"), ("capacity-1", True))]
)
def test_attach_follows_the_latest_job_or_the_named_one(
    words: tuple[str, ...], expected: tuple[str | None, bool], invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        launching,
        "attach_to_job",
        lambda cluster, job, keep, tell: asked.append((job, keep)) or (["over"], ExitCode.DONE),
    )
    done = invoke("attach", "c.yaml", *words)
    assert (asked, done.exit_code, done.stdout) == ([expected], ExitCode.DONE, "over\n")


def test_jobs_and_down_are_about_the_cluster_of_the_file(invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "format_jobs", lambda cluster, tell: [f"jobs of {cluster}"])
    monkeypatch.setattr(launching, "take_cluster_down", lambda cluster, tell: tell(f"{cluster} is down"))
    assert invoke("jobs", "c.yaml").stdout == "jobs of c.yaml\n"
    done = invoke("down", "c.yaml")
    assert (done.exit_code, done.stdout, done.stderr) == (ExitCode.DONE, "", "c.yaml is down\n")
