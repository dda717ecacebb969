"""Ray's folder, home and user: where the system's own will do, where others stand in, and what is refused."""

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equistudy.execution import ray_environment
from equistudy.execution.ray_environment import MAX_FOLDER_BYTES, find_obstacle, prepare_ray_environment


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported Ray."""
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_TOKEN", "RAY_AUTH_MODE", *ray_environment.ENVIRONMENT):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "ray", raising=False)


def short(tmp_path: Path, length: int) -> Path:
    """A folder whose path has so many bytes."""
    base = Path("/tmp")
    return base / ("x" * (length - len(str(base)) - 1))


def test_the_longest_path_leaves_room_for_a_socket(tmp_path: Path) -> None:
    """The limit from Ray's own names: the path of the object store's socket with its null byte fills 107 bytes."""
    session = "session_2026-11-29_10-48-17_123456_4194304"
    assert MAX_FOLDER_BYTES + len(f"/ray/{session}/sockets/plasma_store") + 1 <= 107


@pytest.mark.parametrize("length", [MAX_FOLDER_BYTES, MAX_FOLDER_BYTES + 1])
def test_a_path_that_is_too_long_for_sockets_has_a_stand_in(
    length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = short(tmp_path, length)
    folder.mkdir(exist_ok=True)
    try:
        monkeypatch.setenv("TMPDIR", str(folder))
        prepare_ray_environment(None)
        chosen = os.environ.get("RAY_TMPDIR")
        if length <= MAX_FOLDER_BYTES:
            assert chosen is None
        else:
            assert chosen is not None
            assert find_obstacle(Path(chosen)) is None
            assert Path(chosen).stat().st_mode & 0o077 == 0
    finally:
        folder.rmdir()


def test_a_folder_of_another_user_is_named_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("/tmp") / f"o{os.getpid()}"
    (folder / "ray").mkdir(parents=True)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder / "ray" and real(path, mode))
    try:
        assert "ray belongs to another user and cannot be written to" in str(find_obstacle(folder))
        monkeypatch.setenv("TMPDIR", str(folder))
        prepare_ray_environment(None)
        assert os.environ["RAY_TMPDIR"] != str(folder)
    finally:
        (folder / "ray").rmdir()
        folder.rmdir()


def test_a_folder_that_was_asked_for_is_refused_where_it_will_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "none" / ("x" * 80)))
    with pytest.raises(ValueError, match=r"got RAY_TMPDIR=.*more than 36, for the sockets in it\. Set RAY_TMPDIR to"):
        prepare_ray_environment(None)
    prepare_ray_environment("10.0.0.1:6379")  # a cluster has a folder of its own


def test_a_user_without_a_home_and_a_name_gets_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("USER", "")
    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr(getpass, "getuser", nameless)
    prepare_ray_environment(None)
    assert Path(os.environ["HOME"]).is_dir()
    assert os.environ["USER"] == str(os.getuid())


def test_the_folders_go_with_the_process(tmp_path: Path) -> None:
    code = (
        "from equistudy.execution.ray_environment import prepare_ray_environment as p; import os; p(None); "
        "print(os.environ['RAY_TMPDIR'])"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path / ("x" * 60))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("/")
    assert not Path(done.stdout.strip()).exists()
