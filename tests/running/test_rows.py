import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.measuring.measure import Skipped
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.results.store import Store
from equistudy.running.job import Job, Provenance, RunConditions
from equistudy.running.rows import build_failed_row, build_stopped_row, format_skipped
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.failures import HungError

TRIAL = Trial(
    ResNet(8, 2),
    Digits(canvas=16, digit=8, train_size=64),
    Classification(),
    NoAugmentation(),
    Recipe(epochs=3, batch_size=32),
    seed=4,
)
JOB = Job(TRIAL, {"width": 2}, (), attempt=1)


def conditions(tmp_path: Path) -> RunConditions:
    return RunConditions("study", Store.open(tmp_path), Provenance("abc", True, {"torch": "2"}), workers=2, threads=3)


def test_a_failure_has_its_reason_its_trace_and_its_time(tmp_path: Path) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    row = build_failed_row(JOB, conditions(tmp_path), HungError("no step ended for 60 s"), began, "stack of threads")
    assert (row.trial, row.attempt, row.status, row.seed) == (TRIAL.id, 1, "failed", 4)
    assert (row.reason, row.traceback) == ("time", "stack of threads")
    assert row.message == "HungError: no step ended for 60 s"
    assert row.seconds is not None
    assert row.seconds >= 5
    assert (row.commit, row.dirty, row.workers, row.threads, row.device) == ("abc", True, 2, 3, "cpu")


def test_the_trace_of_an_error_is_its_own_where_no_other_is_given(tmp_path: Path) -> None:
    try:
        raise KeyError("layer")
    except KeyError as error:
        row = build_failed_row(JOB, conditions(tmp_path), error, datetime.now(UTC))
    assert "test_rows.py" in str(row.traceback)
    assert row.reason == "bug"


class IndescribableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_a_failure_is_described_as_far_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanished(*arguments: object) -> str:
        raise OSError("the data are gone")

    monkeypatch.setattr("equistudy.running.rows.fingerprint", vanished)
    monkeypatch.setattr(Trial, "build_fields", vanished)
    recipe = replace(TRIAL.recipe)
    object.__setattr__(recipe, "precision", "bfloat16")  # a text where an enum belongs
    trial = replace(TRIAL, recipe=recipe)
    row = build_failed_row(replace(JOB, trial=trial), conditions(tmp_path), IndescribableError(), datetime.now(UTC))
    assert (row.trial, row.attempt, row.reason) == (trial.id, 1, "bug")
    assert (row.precision, row.fingerprint, row.spec) == (None, None, "{}")
    assert row.message == "IndescribableError: (its message cannot be read)"
    assert json.loads(row.factors) == {"width": 2}
    conditions(tmp_path).store.write_trial(row)

    odd = build_failed_row(JOB, conditions(tmp_path), ValueError("no file \udcff"), datetime.now(UTC))
    assert odd.message == "no file \\udcff"


def test_what_a_search_gave_up_has_its_scores(tmp_path: Path) -> None:
    row = build_stopped_row(JOB, conditions(tmp_path), 2, {"test_accuracy": 0.5})
    assert (row.reason, row.epochs, json.loads(str(row.scores))) == ("stopped early", 2, {"test_accuracy": 0.5})
    assert row.message == "the scheduler of the search stopped it after 2 of 3 epochs"


def test_what_was_skipped_is_kept_as_json() -> None:
    (told,) = json.loads(format_skipped([Skipped("accuracy", "logits", None, "no labels")]))
    assert told["measure"] == "accuracy"
    assert "no labels" in told.values()
