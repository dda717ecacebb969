from dataclasses import dataclass

import pytest

from equistudy.analysis.outcome import Outcome, Reference, Score, outcome_of
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
    with pytest.raises(TypeError, match="an Outcome, a Measure or a Score, got 'accuracy'"):
        outcome_of("accuracy")


def test_titles_and_directions():
    assert Outcome(CORRELATION, ("pooled", "logits"), reference=Reference.UNTRAINED).title == (
        "translation correlation at pooled, logits, gain over the untrained network"
    )
    assert Outcome(Turned(group=Net(3))).title == "translation correlation under Net(width=3)"
    assert Outcome(CORRELATION).higher_is_better
    assert not Outcome(Score("test_loss")).higher_is_better
    assert Outcome(CORRELATION).measures == (CORRELATION,)
    assert outcome_of(Score("seconds")).measures == ()
