"""Whatever a user can get wrong ends with exit code 2 and one message: the rule, the values, the way out."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from equistudy.cli.errors import ExitCode

DIGITS = "eq.Digits(canvas=16, digit=8, train_size=64)"


@pytest.fixture
def here(tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with studies of which most are wrong, as the current one."""
    monkeypatch.chdir(tmp_path)
    write()
    write(name="syntax.py", text="import equistudy\n\nx = (\n")
    write(name="without.py", text="")
    write(('"width", levels=(2, 4)), seeds', '"widht", levels=(2, 4)), seeds'), name="misspelt.py")
    write(("width: int, seed", "width: int, depth: int, seed"), name="taken.py")
    write(("    digits,", "    {}['width']\n    digits,"), name="raises.py")
    write((DIGITS, "eq.MNIST(folder='nowhere')"), name="no_data.py")
    write((DIGITS, "eq.MNIST(folder='mnist')"), name="truncated.py")
    write(("eq.ResNet(8, width)", "eq.TimmModel('resnet5')"), ("batch_size=32", "batch_size=width"), name="unknown.py")
    (tmp_path / "mnist").mkdir()
    for split in ("train", "t10k"):
        (tmp_path / "mnist" / f"{split}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]))
        header = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28])
        (tmp_path / "mnist" / f"{split}-images-idx3-ubyte").write_bytes(header.ljust(99, b"\0"))
    for name, marker in (("newer", '{"schema": 99}'), ("broken", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "equistudy.json").write_text(marker)
    return tmp_path


NO_DATA = "MNIST needs its data files, got none in nowhere, which does not exist. Put the files train-images-idx3-ubyte"
TRUNCATED = "must hold 784 values, got 83 in mnist/t10k-images-idx3-ubyte. Copy it again."
NEAREST = "name must be a model of timm, got name='resnet5'. Nearest: resnet50, resnet51q, resnet50t."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan"], "Missing argument 'STUDY'"),
        (["plan", "question.py", "--scal", "x"], "No such option '--scal'. Did you mean '--scale'?"),
        (["retrain"], "No such command 'retrain'"),
        (["results", "--table", "trial"], "'trial' is not one of 'trials', 'curves', 'measurements'"),
        (["results", "--csv", "--json"], "Use either --csv or --json, got both."),
        (
            ["plan", "nowhere.py"],
            "A study is a Python file, got nowhere.py, which does not exist. Python files in its folder: misspelt",
        ),
        (["plan", "question.py", "--scale", "larg"], "The study has no scale 'larg'. Did you mean large?"),
        (["plan", "syntax.py"], "syntax.py:3: '(' was never closed"),
        (
            ["plan", "without.py"],
            "assigns a Study to the name 'study', got nothing of that name in without.py. Add: study =",
        ),
        (
            ["plan", "misspelt.py"],
            "misspelt.py:10: Factor 'widht' is not a parameter of trial(width, seed). Did you mean",
        ),
        (
            ["plan", "taken.py"],
            "taken.py:10: Each parameter of trial needs a factor or a default, got neither for depth",
        ),
        (["plan", "raises.py"], "raises.py:5: KeyError: 'width'"),
        (["run", "raises.py"], "raises.py:5: KeyError: 'width'"),
        (["plan", "no_data.py"], NO_DATA),
        (["run", "no_data.py"], NO_DATA),
        (["plan", "truncated.py"], TRUNCATED),
        (["run", "truncated.py"], TRUNCATED),
        (["run", "unknown.py"], NEAREST),
        (["plan", "unknown.py", "--pilot"], NEAREST),
    ],
)
def test_a_wrong_study_is_told(arguments: list[str], message: str, here: Path, invoke) -> None:
    done = invoke(*arguments)
    assert done.exit_code == ExitCode.USAGE, done.exception
    assert message in done.stderr
    assert done.stdout == ""
    assert not (here / "results").exists(), "nothing is made before all is known to be right"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["results", "nowhere"], "There are no results in {here}/nowhere. Check --results, or run the study first."),
        (["report", "question.py"], "There are no results in {here}/results. Check --results, or run the study first."),
        (["explain", "t_1"], "There are no results in {here}/results. Check --results, or run the study first."),
        (["results", "mnist"], "is not a results folder of equistudy: it has no equistudy.json but holds t10k-images"),
        (["run", "question.py", "--results", "mnist"], "Choose an empty or new folder with --results."),
        (["plan", "question.py", "--results", "newer"], "have version 99, and this equistudy reads up to"),
        (["results", "newer"], "Update equistudy, or choose another folder with --results."),
        (["status", "question.py", "--results", "broken"], "says which version wrote the results, got b'{{'"),
        (["results", "question.py"], "A file is in the way: choose another folder with --results."),
        (["run", "question.py", "--results", "question.py/x"], "A file is in the way: choose another folder"),
    ],
)
def test_wrong_results_are_told(arguments: list[str], message: str, here: Path, invoke) -> None:
    done = invoke(*arguments)
    assert done.exit_code == ExitCode.USAGE, done.exception
    assert message.format(here=here) in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere.py", "--cpus-per-trial", "0"], "0.0 is not in the range 0<x<=1000000"),
        (["run", "nowhere.py", "--workers-per-trial", "0"], "0 is not in the range 1<=x<=1000000"),
        (["run", "nowhere.py", "--max-concurrent", "0"], "0 is not in the range 1<=x<=1000000"),
        (["run", "nowhere.py", "--num-cpus", "0"], "0 is not in the range 1<=x<=1000000"),
        (["run", "nowhere.py", "--hang-minutes", "nan"], "nan is not a finite number"),
        (
            ["run", "nowhere.py", "--address", "h:notaport"],
            "An address is HOST:PORT with a port from 1 to 65535, or auto",
        ),
        (["plan", "nowhere\udc80.py"], "Arguments must be valid UTF-8 without NUL characters"),
        (["results", "~nobody-at-all/x"], "A folder that starts with ~ must be that of a user of this machine"),
        (["retry", "x.py", "--reason", "out of memry"], "got 'out of memry'. Did you mean out of memory?"),
        (
            ["retry", "x.py", "--reason", "oom"],
            "got 'oom'. Choose from: bug, data, diverged, not a number, out of memory",
        ),
    ],
)
def test_a_wrong_request_is_told(arguments: list[str], message: str, here: Path, invoke) -> None:
    done = invoke(*arguments)
    assert done.exit_code == ExitCode.USAGE, done.exception
    assert message in done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_or_closed_disk_is_told(number: int, asked, invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", refuse)
    done = invoke("run", asked.study, "--results", asked.folder)
    assert done.exit_code == ExitCode.USAGE
    ways_out = {errno.ENOSPC: "Free some space and run the same command again", errno.EACCES: "that you can write to"}
    assert f"Cannot write {asked.folder}/equistudy.json: {os.strerror(number)}." in done.stderr
    assert ways_out[number] in done.stderr
