import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from equistudy.cli import doctor
from equistudy.cli.doctor import InstallationCheck, run_checks
from equistudy.cli.errors import ExitCode
from equistudy.results.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray belongs to other tests of this process."""
    monkeypatch.setattr(doctor, "_check_ray", lambda: "not asked")


def found(folder: str) -> dict[str, InstallationCheck]:
    return {check.name: check for check in run_checks(folder)}


def test_a_sound_installation(folder: str, invoke) -> None:
    every = found(folder)
    assert all(check.ok and check.mend is None for check in every.values()), every
    names = ["python", "packages", "torch", "pair", "timm", "ports", "ray", "report", "results", "clock", "disk"]
    assert list(every) == names
    assert every["results"].found == f"nothing in {folder} yet"
    done = invoke("doctor", "--results", folder)
    assert done.exit_code == ExitCode.DONE
    assert [line[:4] for line in done.stdout.splitlines()] == ["ok  "] * len(names)
    assert not Path(folder).exists()


def test_each_check_is_apart_and_says_how_to_mend(folder: str, invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(doctor, "_check_timm", broken)
    done = invoke("doctor", "--results", folder)
    assert done.exit_code == ExitCode.UNEXPECTED
    place = done.stdout.index(
        "BAD timm: RuntimeError: operator torchvision::nms does not exist\n    To fix it: install the"
    )
    assert "ok  disk" in done.stdout[place:]
    record = json.loads(invoke("doctor", "--results", folder, "--json").stdout)
    assert [check["name"] for check in record["checks"] if not check["ok"]] == ["timm"]


def test_absent_packages_are_named(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "REQUIRED_PACKAGES", ("torch", "no-such-package"))
    check = found(folder)["packages"]
    assert not check.ok
    assert check.found == "ImportError: not installed: no-such-package"
    assert "pip install ." in str(check.mend)


def test_the_results_folder_is_tried(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(folder)
    assert found(folder)["results"].found == f"0 files of trials in {folder}, which can be written"
    assert sorted(path.name for path in Path(folder).iterdir()) == ["equistudy.json"]

    def refuse(*arguments: object) -> int:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(os, "write", refuse)
    check = found(folder)["results"]
    assert not check.ok
    assert "Permission denied" in check.found
    (tmp_path / "file").write_text("")
    assert not found(str(tmp_path))["results"].ok


def test_a_torchvision_of_another_torch_is_bad(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.13.0+cpu", "torchvision": "0.27.1"}
    monkeypatch.setattr(doctor, "get_version", versions.get)
    check = found(folder)["pair"]
    assert not check.ok
    assert check.found == "RuntimeError: torch 2.13.0+cpu belongs with torchvision 0.28, got 0.27.1"
    assert "torchvision==0.28.*" in str(check.mend)


def test_a_driver_that_torch_cannot_use_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(RuntimeError, match=r"has a driver for GPUs, which torch 2\.13.* cannot use"):
        doctor._check_torch()


def test_a_clock_that_is_off_is_bad(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(folder)["clock"].found == "nothing to compare with before there are results"
    Store.open(folder)
    assert found(folder)["clock"].found == "within 1 s of the storage's"
    now = time.time
    monkeypatch.setattr(doctor.time, "time", lambda: now() + 90)
    check = found(folder)["clock"]
    assert not check.ok
    assert "differ by 90 s: running trials would be considered dead" in check.found
    assert "timedatectl set-ntp true" in str(check.mend)
    assert sorted(path.name for path in Path(folder).iterdir()) == ["equistudy.json"]


def test_ports_that_nobody_may_use_are_bad(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(doctor.socket, "create_server", refuse)
    check = found(folder)["ports"]
    assert not check.ok
    assert "Operation not permitted" in check.found
    assert "connect to 127.0.0.1" in str(check.mend)


def test_a_full_disk_is_bad(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 10_000_000))
    check = found(folder)["disk"]
    assert not check.ok
    assert f"need at least 1 GB, got 0.01 GB free at {Path(folder).parent}" in check.found
    assert doctor._check_disk("s3://bucket/results") == "results are not on a disk of this machine"


@pytest.mark.slow
def test_ray_starts(folder: str) -> None:
    command = [sys.executable, "-m", "equistudy", "doctor", "--results", folder, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == ExitCode.DONE, done.stdout
    (ray,) = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "ray"]
    assert ray["found"].startswith("starts on this machine in")
