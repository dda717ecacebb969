"""Every option of every command with hostile values: exit code 2 and a sentence, or it works; never a traceback."""

import importlib
import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equistudy.cli.commands import cli
from equistudy.cli.errors import ExitCode

EXAMPLES = int(os.environ.get("EQUISTUDY_FUZZ_EXAMPLES", "0"))  # for each command and each spec; 0 for the suite's few
HOSTILE = (
    *("", " ", "-", "--", "nan", "inf", "-inf", "1e-9", "1e309", "-1", "0", "1", "1.5", "0x10", "1_0", "9" * 30),
    *("9" * 5000, "true", "None", "[]", "{}", "'", '"', "\\", "%s", "$HOME", "`id`", "../..", "/", "/dev/null", "."),
    *("~nobody/x", "~", "h:notaport", "h:99999", "h:-1", ":", "[::1", "h:1:2", "ray://h:1", "a" * 300, "x\ny", "x\0y"),
    *(
        "\udc80",
        "\u202eabc",
        "\x1b[31m",
        "=1+1",
        "<b>",
        "é",
        "file://",
        "s3://",
        "s3://a:b@c",
        "http://x",
        "C:\\x",
        "t_",
    ),
    *(
        "1,2",
        "1,,2",
        "nan,nan",
        "rotation:",
        "rotation:nan",
        "rotation:0",
        "rotation:1-",
        "translation:9999999999",
        "p4",
    ),
    *(
        "0x0",
        "8x",
        "-8x8",
        "1e3x8",
        "9999999x9999999",
        "resnet*",
        "x.py:",
        ".py:f",
        "x.pt",
        "t_0",
        "smoke",
        "auto",
        "t" * 9,
    ),
)


def list_options(command: click.Command) -> list[click.Parameter]:
    return [each for each in command.params if each.name != "help" and not getattr(each, "is_flag", False)]


@st.composite
def hostile_calls(draw: st.DrawFn, name: str) -> list[str]:
    """One call of a command with one or two hostile values, others as they should be."""
    command = cli.commands[name]
    words, hostile = [name], draw(st.sampled_from(list_options(command))) if list_options(command) else None
    for each in command.params:
        value = draw(st.sampled_from(HOSTILE) | st.text(max_size=20)) if each is hostile else None
        if isinstance(each, click.Argument):
            words.append(value if value is not None else DEFAULTS.get(each.name, "x"))
        elif value is not None:
            words += [each.opts[0], value]
        elif each.required:
            words += [each.opts[0], "16"]
    return words


STUDY = """
import equistudy as eq

def trial(width: int, seed: int) -> eq.Trial:
    return eq.Trial(
        eq.ResNet(8, width), eq.Digits(), eq.Classification(), eq.NoAugmentation(), eq.Recipe(epochs=1), seed
    )

ACCURACY = eq.Accuracy()
WIDTH = eq.Factor("width", levels=(2, 4))
study = eq.Study(question="?", design=eq.factorial(trial, WIDTH, seeds=range(1)), measures=(ACCURACY,))
"""
DEFAULTS: dict[str | None, str] = {"study": "question.py", "a": "t_1", "b": "t_2", "trial": "t_1"}


class ActedError(Exception):
    """A command got as far as acting on the outside."""


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_hostile_values_end_in_a_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "question.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    forbid_acting(monkeypatch)

    @settings(
        max_examples=1 if name == "doctor" else EXAMPLES or (4 if name == "audit" else 8),
        deadline=None,
        derandomize=not EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(hostile_calls(name))
    def check(words: list[str]) -> None:
        ended = CliRunner().invoke(cli, words)
        if isinstance(ended.exception, ActedError):
            return
        assert ended.exception is None or isinstance(ended.exception, SystemExit), (words, ended.exception)
        allowed = {ExitCode.DONE, ExitCode.USAGE, ExitCode.FAILED_TRIALS}
        assert ended.exit_code in allowed | ({ExitCode.UNEXPECTED} if name == "doctor" else set()), (
            words,
            ended.output,
        )
        message = ended.stderr.partition("Error: ")[2]
        assert bool(message) == (ended.exit_code == ExitCode.USAGE), (words, ended.output)
        assert "Traceback" not in message, (words, ended.output)
        assert "\x1b" not in message, (words, ended.output)

    check()


def forbid_acting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray, clusters and the network are not touched: what would act says that it got there."""

    def act(*values: Any, **named: Any) -> Any:
        raise ActedError

    for module, name in (
        ("equistudy.execution.runner", "run_study"),
        ("equistudy.session", "run_jobs_here"),
        ("equistudy.execution.cluster", "connect_to_ray"),
        ("equistudy.results.files", "RemoteFiles"),
        ("subprocess", "Popen"),
        ("requests.sessions", "HTTPAdapter"),
    ):
        monkeypatch.setattr(importlib.import_module(module), name, act)
