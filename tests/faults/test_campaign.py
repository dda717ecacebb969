"""A study under a seeded schedule of faults ends as if nothing had happened; see campaign.py for the faults."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import FAULTS, SHORT, schedule

ROOT = Path(__file__).parents[2]
SEEDS = os.environ.get("EQUISTUDY_FAULT_SEEDS")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: Ray's sockets lie in it."""
    path = Path(tempfile.mkdtemp(prefix="fc", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_every_schedule_has_all_faults_in_an_order_of_its_own() -> None:
    first, second = schedule(1), schedule(2)
    assert len(first) >= 40
    assert first == schedule(1) != second
    assert sorted(first) == sorted(second) == sorted(fault for fault, count in FAULTS.items() for _ in range(count))


def survived(folder: Path, seed: int, faults: int, *options: str) -> str:
    """What a campaign says that has struck and seen everything that it should."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--seed", str(seed), "--folder", str(folder), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    struck = set(re.findall(r"fault +(\d+):", done.stdout))
    recovered = set(re.findall(r"fault +(\d+) recovered after", done.stdout))
    assert struck == recovered == {str(number) for number in range(1, 1 + faults)}
    return done.stdout


@pytest.mark.slow
def test_six_faults_leave_the_tables_of_an_undisturbed_run(folder: Path) -> None:
    assert "equal to the undisturbed run: 4 trials" in survived(folder, 1, sum(SHORT.values()), "--short")


@pytest.mark.slow
@pytest.mark.skipif(
    SEEDS is None,
    reason="takes ten minutes a seed: EQUISTUDY_FAULT_SEEDS=1,2,3 python -m pytest -n 0 tests/faults runs it",
)
@pytest.mark.parametrize("seed", (SEEDS or "1").split(","))
def test_42_faults_leave_the_tables_of_an_undisturbed_run(seed: str, folder: Path) -> None:
    assert "equal to the undisturbed run: 14 trials" in survived(folder, int(seed), sum(FAULTS.values()))
