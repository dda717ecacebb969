"""A trial that cannot store its numbers, or whose failure cannot be described, ends its run soon and says why."""

import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from equistudy.cli.commands import cli
from equistudy.cli.errors import ExitCode
from equistudy.results import results

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_capacity")]

STUDY = """
import errno, os
from dataclasses import dataclass

import equistudy as eq


class Indescribable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


@dataclass(frozen=True)
class Fault(eq.RandomCrop):
    def apply(self, images, elements):
        from equistudy.results import files

        def full(path, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        FAULT
        return super().apply(images, elements)


def trial(width: int, seed: int) -> eq.Trial:
    digits, recipe = eq.Digits(canvas=16, digit=8, train_size=64), eq.Recipe(epochs=2, batch_size=32)
    return eq.Trial(eq.ResNet(8, width), digits, eq.Classification(), Fault(padding=2), recipe, seed)


design = eq.factorial(trial, eq.Factor("width", (1, 2)), seeds=range(2))
study = eq.Study("Does it end?", design, measures=(eq.Accuracy(),))
"""


def run(tmp_path: Path, fault: str) -> Result:
    study = tmp_path / f"study_{tmp_path.name.replace('-', '_')}.py"
    study.write_text(STUDY.replace("FAULT", fault))
    began = time.monotonic()
    done = CliRunner().invoke(cli, ["run", str(study), "--results", str(tmp_path / "results")], standalone_mode=False)
    assert time.monotonic() - began < 60
    assert done.return_value == ExitCode.FAILED_TRIALS, (done.exception, done.output)
    return done


def test_a_file_in_the_place_of_a_folder_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "equistudy.json").write_text('{"schema": 1}')
    (tmp_path / "results" / "weights").write_text("in the way")
    told = " ".join(run(tmp_path, "pass").stderr.split())
    assert re.search(
        r"stops because its results cannot be written: Cannot write \S+/weights/t_\w+\.0\.\w+\.safetensors: \w+.*"
        "A file is in the way: choose another folder with --results",
        told,
    )
    assert "died" not in told
    assert not list((tmp_path / "results").glob("preempted/*"))


def test_a_disk_that_stays_full_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equistudy.execution.runner.STORE_PATIENCE_SECONDS", 3.0)
    told = " ".join(run(tmp_path, "files._write_flushed = full").stderr.split())
    assert re.search(
        r"cannot be written: Cannot write .*: No space left on device\. Free some space and run the same command", told
    )
    assert "preempted" not in told


def test_an_error_that_cannot_be_described_is_a_failure_like_any_other(tmp_path: Path) -> None:
    told = run(tmp_path, "raise Indescribable").stderr
    assert "4 trials: 4 failed" in told
    rows = results(tmp_path / "results").attempts
    assert rows["reason"].to_list() == ["bug"] * 4
    assert rows["attempt"].to_list() == [0] * 4
    assert rows["message"].to_list() == ["Indescribable: (its message cannot be read)"] * 4


@pytest.mark.parametrize(
    ("loss", "told"),
    [
        (
            "os.path.exists(marker) and os.unlink(marker)",
            r"must keep their equistudy\.json during a run.*Restore the file",
        ),
        (
            "__import__('shutil').rmtree(os.path.dirname(marker), True)",
            r"got nothing at \S+: they were moved or deleted",
        ),
    ],
)
def test_results_that_are_lost_during_a_run_stop_it(tmp_path: Path, loss: str, told: str) -> None:
    marker = tmp_path / "results" / "equistudy.json"
    done = run(tmp_path, f"marker = {str(marker)!r}; {loss}")
    assert re.search("The run stops because its results cannot be written: .*" + told, " ".join(done.stderr.split()))
    assert not list(tmp_path.glob("results/trials/*"))
