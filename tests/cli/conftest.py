"""A study of four tiny trials, results without training, and the commands in this process."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from equistudy.cli.commands import cli
from equistudy.cli.status import load_requested_study, plan_study
from equistudy.cli.study_reference import StudyReference
from equistudy.measures.accuracy import Accuracy
from equistudy.results.schema import TrialRow
from equistudy.results.store import Store
from equistudy.spec import flatten_spec
from equistudy.study.trial import Trial, fingerprint

STUDY = """
import equistudy as eq

def trial(width: int, seed: int) -> eq.Trial:
    digits, recipe = eq.Digits(canvas=16, digit=8, train_size=64), eq.Recipe(epochs=2, batch_size=32)
    return eq.Trial(eq.ResNet(8, width), digits, eq.Classification(), eq.NoAugmentation(), recipe, seed)

study = eq.Study(
    question="Does it run?",
    design=eq.factorial(trial, eq.Factor("width", levels=(2, 4)), seeds=range(2)),
    measures=(eq.Accuracy(),),
    scales={"large": eq.factorial(trial, eq.Factor("width", levels=(2, 4, 8)), seeds=range(3))},
)
"""


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """The environment as it was: `run` prepares it for Ray."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study, with some of its text replaced."""

    def write(*replacements: tuple[str, str], name: str = "question.py", text: str = STUDY) -> Path:
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Where results go."""
    return str(tmp_path / "results")


@pytest.fixture
def asked(write: Callable[..., Path], folder: str) -> StudyReference:
    """The study as it is, and its results."""
    return StudyReference(write(), None, folder)


@pytest.fixture
def finish(folder: str) -> Callable[..., None]:
    """Writes the rows of a trial as if it had been trained and measured, or had failed."""

    def finish(trial: Trial, levels: dict[str, Any], reason: str | None = None, **values: Any) -> None:
        store = Store.open(folder)
        attempt = values.pop("attempt", 0)
        if reason is None:
            store.write_measurements(trial.id, attempt, Accuracy().id, [])
        store.write_trial(
            TrialRow(
                trial=trial.id,
                attempt=attempt,
                study="question",
                status="failed" if reason else "done",
                reason=reason,
                seed=trial.seed,
                factors=json.dumps(levels),
                spec=json.dumps(flatten_spec(trial)),
                fingerprint=fingerprint(trial.dataset),
                **{"seconds": 8.0, "measuring_seconds": 2.0, **values},
            )
        )

    return finish


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """Runs a command in this process."""
    return lambda *arguments: CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def made(asked):
    """Plans the study that is asked about."""
    return lambda: plan_study(load_requested_study(asked), asked.folder)[1]
