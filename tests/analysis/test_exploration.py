from equistudy.analysis.claims import Contrast, Trend
from equistudy.analysis.exploration import build_exploratory_tests, collect_outcomes
from equistudy.analysis.outcome import Outcome
from equistudy.analysis.trial_numbers import Score
from equistudy.study.study import Claim
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study


def test_each_claim_at_each_other_level_and_all_main_effects_that_are_not_claimed():
    tests = build_exploratory_tests(study())
    assert [(type(test), test.within) for test in tests] == [
        (Trend, ((CROP, CROP.levels[0]),)),
        (Trend, ((CROP, CROP.levels[1]),)),
        (Contrast, ()),
    ]


def test_what_is_claimed_is_not_explored():
    claimed = Contrast(CORRELATION, CROP, CROP.levels[1], CROP.levels[0], expected="decreasing")
    tests = build_exploratory_tests(study(claims=(*study().claims, Claim("crops", claimed))))
    assert not any(isinstance(test, Contrast) and not test.within for test in tests)
    assert sum(len(test.within) for test in tests) == 2 + 4


def test_outcomes_are_the_measures_and_what_claims_name():
    score = Trend(Score("test_accuracy"), over=WIDTH, expected="increasing")
    assert collect_outcomes(study(claims=(Claim("accuracy", score), *study().claims))) == (
        Outcome(CORRELATION),
        Outcome(Score("test_accuracy")),
    )


def test_a_number_with_a_name_is_there_once():
    named = Outcome(CORRELATION, name="equivariance")
    trend = Trend(named, over=WIDTH, expected="increasing")
    assert collect_outcomes(study(claims=(Claim("named", trend),))) == (named,)
