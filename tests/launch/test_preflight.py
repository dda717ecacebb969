import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from equistudy.launch import preflight as module
from equistudy.launch.preflight import PreflightCheck, run_preflight, validate_target
from equistudy.launch.targets import load_target

CLUSTER = Path(__file__).parents[2] / "cluster"


def found(name: str) -> dict[str, PreflightCheck]:
    return {check.name: check for check in run_preflight(load_target(CLUSTER / name))}


@pytest.fixture(autouse=True)
def all_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda tool: f"/usr/bin/{tool}")


def test_what_is_there_needs_no_mending(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = SimpleNamespace(method="sso")
    boto3 = ModuleType("boto3")
    boto3.Session = lambda: SimpleNamespace(get_credentials=lambda: credentials)  # type: ignore[attr-defined]
    boto3.__spec__ = SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "boto3", boto3)
    checks = found("aws.yaml")
    assert checks["credentials"] == PreflightCheck("credentials", True, "for AWS, by sso")
    assert checks["sizes"].ok
    assert not checks["file"].ok  # this one is to be filled in
    assert str(checks["file"]).endswith("To fix it: edit what its first lines name")


def test_an_absent_sdk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_is_installed", lambda name: False)
    for name, sdk in (("aws.yaml", "boto3"), ("gcp.yaml", "googleapiclient, google.auth")):
        checks = found(name)
        assert checks["sdk"] == PreflightCheck("sdk", False, f"{sdk} not installed", "pip install 'equistudy[cluster]'")
        assert not checks["credentials"].ok


def test_a_script_that_is_no_bash_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "slurm.sh"
    script.write_text("if then")
    with pytest.raises(ValueError, match=r"slurm.sh is not valid bash: .*syntax error"):
        validate_target(load_target(script))


def test_what_ray_refuses_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "aws.yaml"
    file.write_text((CLUSTER / "aws.yaml").read_text().replace("max_workers: 8", "max_worker: 8", 1))
    with pytest.raises(
        ValueError, match=r"Ray rejects the cluster file .*aws.yaml at the top: .*'max_worker' was unexpected"
    ):
        validate_target(load_target(file))
