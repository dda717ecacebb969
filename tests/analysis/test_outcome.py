from dataclasses import dataclass

import pytest

from equistudy.analysis.outcome import Combination, Outcome, Reference, Score, as_outcome
from equistudy.measures.accuracy import Accuracy
from equistudy.spec import Spec
from tests.analysis.synthetic import CORRELATION, Correlation, Net


@dataclass(frozen=True)
class Turned(Correlation):
    """A measure with a group, which may be any spec here."""

    group: Spec | None = None


def test_bad_outcomes_are_refused():
    with pytest.raises(ValueError, match="stages is a tuple of names, or None for the default, got stages='stem'"):
        Outcome(CORRELATION, stages="stem")
    with pytest.raises(ValueError, match="A score is one number per trial"):
        Outcome(Score("seconds"), reference=Reference.FLOOR)
    with pytest.raises(TypeError, match="an Outcome, Measure, Score, Combination or ReportedValue, got 'accuracy'"):
        as_outcome("accuracy")


def test_titles_and_directions():
    assert Outcome(CORRELATION, ("pooled", "logits"), reference=Reference.UNTRAINED).title == (
        "translation correlation at pooled, logits, gain over the untrained network"
    )
    assert Outcome(Turned(group=Net(3))).title == "translation correlation under Net(width=3)"
    assert Outcome(CORRELATION).higher_is_better
    assert not Outcome(Score("test_loss")).higher_is_better
    assert Outcome(CORRELATION).measures == (CORRELATION,)
    assert as_outcome(Score("seconds")).measures == ()
    assert Outcome(CORRELATION, stages=("stem",), name="at the stem").title == "at the stem"


def test_a_combination_is_a_number_under_its_own_name():
    gap = Combination("accuracy gap", ((1, Score("test_accuracy")), (-0.5, Outcome(CORRELATION))))
    outcome = as_outcome(gap)
    assert (outcome.title, outcome.measures, outcome.higher_is_better) == ("accuracy gap", (CORRELATION,), False)
    with pytest.raises(ValueError, match="A combination is one number per trial"):
        Outcome(gap, stages=("stem",))
    with pytest.raises(ValueError, match=r"a name and at least one weight.*got name='gap' and 0 parts\. Write Comb"):
        Combination("gap", ())
    with pytest.raises(TypeError, match="Combination or ReportedValue, got 'accuracy'"):
        Combination("gap", ((1, "accuracy"),))


def test_what_is_a_share_of_images():
    accuracy = Score("test_accuracy")
    assert as_outcome(accuracy).share
    assert as_outcome(Accuracy()).share
    assert not as_outcome(Score("test_loss")).share
    assert as_outcome(Combination("gap", ((1, accuracy), (-1, Accuracy())))).share
    assert not as_outcome(Combination("gap", ((1, accuracy), (-1, CORRELATION)))).share
