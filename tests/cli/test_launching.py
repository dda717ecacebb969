"""Dry runs of every file in cluster/, and launches with stand-ins for the programs of clouds."""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result

from equistudy.cli.errors import ExitCode

ROOT = Path(__file__).parents[2]
CLUSTER, STUDY = ROOT / "cluster", ROOT / "studies" / "smoke.py"
REMOTE = ("--results", "s3://bucket/results")
RAN = {
    "aws.yaml": ("ray up --yes --no-config-cache", "ray dashboard", "ray job submit --no-wait", "ray down --yes"),
    "gcp.yaml": ("ray up --yes --no-config-cache", "ray dashboard", "ray job submit --no-wait", "ray down --yes"),
    "kuberay.yaml": (
        "kubectl apply -f -",
        "kubectl wait --for=condition=HeadPodReady raycluster/capacity",
        "kubectl port-forward service/capacity-head-svc",
        "ray job submit",
        "kubectl delete raycluster capacity",
    ),
    "local.yaml": ("local_head up", "ray job submit", "ray job logs --follow", "local_head down"),
    "slurm.sh": ("sbatch --parsable", "squeue --me", "scancel --me"),
}


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without credentials, and a folder for stand-ins of programs, the only ones there are."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_")):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    programs = tmp_path / "programs"
    programs.mkdir()
    for tool in ("bash", "git"):
        (programs / tool).symlink_to(next(Path(p) / tool for p in ("/usr/bin", "/bin") if (Path(p) / tool).exists()))
    monkeypatch.setenv("PATH", str(programs))
    return programs


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("name", RAN)
def test_a_dry_run_shows_every_command_and_what_is_missing(name: str, invoke: Callable[..., Result]) -> None:
    done = invoke("launch", CLUSTER / name, STUDY, *(() if name in ("local.yaml", "slurm.sh") else REMOTE), "--dry-run")
    assert done.exit_code == ExitCode.DONE, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{CLUSTER / name}: ")
    assert "valid" in lines[0]
    place = -1
    for command in RAN[name]:
        place = next(number for number, line in enumerate(lines) if number > place and command in line)
    assert lines[-1] == "Nothing was run."
    if name in ("aws.yaml", "gcp.yaml"):
        assert any(line.startswith("MISSING credentials: none for") for line in lines)
        assert any(f"{name} still says " in line for line in lines)
    if name == "kuberay.yaml":
        assert "MISSING kubectl: not installed" in lines
        start = next(number for number, line in enumerate(lines) if line == "   | apiVersion: ray.io/v1")
        manifest = yaml.safe_load("\n".join(line[5:] for line in lines[start:] if line.startswith("   | ")))
        assert manifest["kind"] == "RayCluster"
        assert manifest["spec"]["authOptions"] == {"mode": "token"}
    assert not (Path.home() / ".ray").exists()


def edited(tmp_path: Path, *replacements: tuple[str, str]) -> tuple[Path, Path]:
    """A filled-in cluster file beside a study, in a tree of their own."""
    text = (CLUSTER / "aws.yaml").read_text().replace("YOUR-REGISTRY", "mine").replace("203.0.113.0", "198.51.100.0")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "aws.yaml").write_text(text)
    (folder / "smoke.py").write_text(STUDY.read_text())
    return folder / "aws.yaml", folder / "smoke.py"


def test_a_launch_without_credentials_and_programs_is_refused_before_anything_runs(
    tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    done = invoke("launch", *edited(tmp_path), *REMOTE)
    assert done.exit_code == ExitCode.USAGE
    for told in (
        "Cannot launch:",
        "MISSING rsync: not installed\n        To fix it: install rsync",
        "MISSING credentials: none for AWS\n        To fix it: log in: aws sso login, or set AWS_PROFILE",
    ):
        assert told in done.stderr
    assert "$ ray up" not in done.stderr


def test_a_machine_that_does_not_exist_is_refused(tmp_path: Path, invoke: Callable[..., Result]) -> None:
    done = invoke("launch", *edited(tmp_path, ("g6.2xlarge", "g6.2xlrge")), *REMOTE, "--dry-run")
    assert done.exit_code == ExitCode.USAGE
    assert "Every node needs a type of machine that aws has, got 'g6.2xlrge' for spot" in done.stderr


def test_a_local_folder_for_nodes_without_a_common_disk_is_refused(
    tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    done = invoke("launch", *edited(tmp_path), "--results", tmp_path / "results", "--dry-run")
    assert done.exit_code == ExitCode.USAGE
    assert "An autoscaling cluster has no shared disk, got the local folder" in done.stderr


@pytest.fixture
def ready(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with credentials and programs, which do nothing."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    for name in ("ray", "ssh", "rsync"):
        program(nobody, name, "exit 0")
    monkeypatch.setattr("equistudy.launch.steps.sys.executable", str(nobody / "python"))
    return nobody


def test_what_the_cloud_refuses_comes_with_the_way_out(
    ready: Path, tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    program(ready, "ray", '[ "$1" = up ] && { echo "(VcpuLimitExceeded) vCPU limit of 0"; exit 1; }; exit 0')
    done = invoke("launch", *edited(tmp_path), *REMOTE)
    assert done.exit_code == ExitCode.USAGE
    assert "ended with 1: (VcpuLimitExceeded) vCPU limit of 0\nThe provider has no more machines of" in done.stderr
    assert "planted-secret" not in done.output


def test_a_closed_port_is_told(ready: Path, tmp_path: Path, invoke: Callable[..., Result]) -> None:
    said = "ssh: connect to host 198.51.100.7 port 22: Connection timed out"
    program(ready, "ray", f'[ "$1" = dashboard ] && {{ echo "{said}"; exit 255; }}; exit 0')
    done = invoke("attach", edited(tmp_path)[0])
    assert done.exit_code == ExitCode.USAGE
    assert "The cluster's jobs cannot be reached: `RAY_AUTH_MODE=token ray dashboard" in done.stderr
    assert f"ended with 255: {said}\nPort 22 of the head is closed to this machine" in done.stderr


SERVER = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(60)"


@pytest.mark.parametrize("fails", ["up", "dashboard", "job"])
@pytest.mark.parametrize("keep", [False, True])
def test_no_cluster_is_left_behind_by_a_launch_that_fails(
    fails: str, keep: bool, ready: Path, tmp_path: Path, invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of its commands fails; a cluster that is to be kept is told with the command that takes it down."""
    monkeypatch.setattr("equistudy.launch.launch.ANSWER_SECONDS", 5.0)
    ran = tmp_path / "ran"
    python = Path(sys.prefix) / "bin" / "python"
    program(
        ready,
        "ray",
        f'echo "$1" >> {ran}; [ "$1" = {fails} ] && {{ echo "no luck"; exit 1; }}\n'
        f'[ "$1" = dashboard ] && exec {python} -c "{SERVER}" "$4"; exit 0',
    )
    cluster, study = edited(tmp_path)
    done = invoke("launch", cluster, study, *REMOTE, *(["--keep"] if keep else []))
    assert done.exit_code == ExitCode.USAGE, done.output
    assert "no luck" in done.stderr
    commands = ran.read_text().split()
    assert fails in commands
    assert (commands[-1] == "down") != keep
    told = f"To take it down:\n    python -m equistudy down {cluster}"
    assert (told in done.stderr) == keep


def test_an_absent_kubectl_is_told(tmp_path: Path, invoke: Callable[..., Result]) -> None:
    done = invoke("launch", CLUSTER / "kuberay.yaml", STUDY, *REMOTE)
    assert done.exit_code == ExitCode.USAGE
    assert (
        "MISSING kubectl: not installed\n        To fix it: install it (kubernetes.io/docs/tasks/tools)" in done.stderr
    )
    down = invoke("down", CLUSTER / "kuberay.yaml")
    assert "Launching needs the program kubectl, which is not installed on this machine" in down.stderr


def test_down_and_slurm_run_their_commands(nobody: Path, tmp_path: Path, invoke: Callable[..., Result]) -> None:
    program(nobody, "sbatch", 'echo "4711"; echo "$@" > ' + str(tmp_path / "sbatch"))
    program(nobody, "scancel", "exit 0")
    program(nobody, "squeue", "exit 0")
    done = invoke("launch", CLUSTER / "slurm.sh", STUDY, "--results", tmp_path / "shared")
    assert done.exit_code == ExitCode.DONE, done.output
    assert done.stdout == "Job 4711; see it with: squeue --me --name=equistudy\n"
    assert (tmp_path / "sbatch").read_text().split() == [
        "--parsable", str(CLUSTER / "slurm.sh"), str(STUDY), str(tmp_path / "shared")
    ]  # fmt: skip
    assert "$ scancel --me --name=equistudy" in invoke("down", CLUSTER / "slurm.sh").stderr
    attach = invoke("attach", CLUSTER / "slurm.sh")
    assert attach.exit_code == ExitCode.USAGE
    assert "attach does not support Slurm" in attach.stderr


def test_a_local_cluster_that_is_down_says_how_to_bring_it_up(invoke: Callable[..., Result]) -> None:
    done = invoke("jobs", CLUSTER / "local.yaml")
    assert done.exit_code == ExitCode.USAGE
    assert "local.yaml is not running. Start it with: python -m equistudy launch" in done.stderr


def test_a_study_outside_of_the_tree_is_refused(tmp_path: Path, invoke: Callable[..., Result]) -> None:
    _, study = edited(tmp_path)
    done = invoke("launch", CLUSTER / "aws.yaml", study, *REMOTE, "--dry-run")
    assert done.exit_code == ExitCode.USAGE
    assert "Files sent with a job must be inside " in done.stderr
