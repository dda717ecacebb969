"""Numbers of a trial by name: columns of its row, and values reported about its level."""

import polars as pl
import pytest

from equistudy.analysis.outcome import Outcome
from equistudy.analysis.trial_numbers import ReportedValue, Score
from tests.analysis.synthetic import WIDTH, table


def test_scores_are_columns_of_the_trials():
    found = Outcome(Score("test_accuracy")).values_per_trial(table(absent={0: "failed", 1: "missing"}))
    assert len(found) == 22
    with pytest.raises(ValueError, match=r"needs a numeric column, got 'test_acuracy'\. Did you mean test_accuracy"):
        Outcome(Score("test_acuracy")).values_per_trial(table())
    with pytest.raises(TypeError, match="Score has no stages, got Score"):
        Outcome(Score("test_accuracy")).measurement_rows(table())


def test_reported_values_belong_to_levels_and_the_others_are_absent() -> None:
    reported = ReportedValue("depth", WIDTH, {4: 1.0, 8: 2.5})
    found = reported.per_trial(table())
    by_width = found.join(table().design.select("trial", "width"), on="trial")
    assert dict(by_width.group_by("width").agg(pl.col("value").first()).iter_rows()) == {
        4: 1.0,
        8: 2.5,
        16: None,
        32: None,
    }


def test_a_score_is_its_column_and_a_reported_value_none() -> None:
    assert Score("test_accuracy").columns == ("test_accuracy",)
    assert Outcome(Score("seconds")).columns == ("seconds",)
    assert ReportedValue("depth", WIDTH, {4: 1.0}).columns == ()
