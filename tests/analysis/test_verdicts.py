from dataclasses import replace

import polars as pl
import pytest

from equistudy.analysis.claims import Contrast, Trend, Value
from equistudy.analysis.effect_test import Direction
from equistudy.analysis.outcome import Combination, Score
from equistudy.analysis.verdicts import VerdictStatus, correct_verdicts, format_p_value, judge_claims
from equistudy.study.study import Claim, Verdict
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study, table

FALLS = Trend(CORRELATION, over=WIDTH, expected="decreasing")
CROP_HELPS = Contrast(CORRELATION, CROP, CROP.levels[1], CROP.levels[0], expected="increasing")


def test_the_verdict_follows_the_expected_direction():
    data = table()
    assert FALLS.test(data).status == VerdictStatus.SUPPORTED
    assert Trend(CORRELATION, over=WIDTH, expected=Direction.INCREASING).test(data).status == "contradicted"
    assert CROP_HELPS.test(data).status == "supported"
    assert Contrast(CORRELATION, CROP, CROP.levels[0], CROP.levels[1], expected="increasing").test(data).status == (
        "contradicted"
    )
    noisy = FALLS.test(table(noise=0.3))
    assert noisy.status == "undecided"
    assert "over 3 seeds contains 0." in noisy.sentence


def test_sentences_say_effect_interval_and_seeds():
    trend, contrast = FALLS.test(table()).sentence, CROP_HELPS.test(table()).sentence
    assert trend.startswith("Translation correlation falls with width: -0.0")
    assert trend.endswith("over 3 seeds.")
    assert "per doubling of width, 95 % t interval [-0.0" in trend
    assert contrast.startswith(
        "Translation correlation is higher with augmentation Crop than with NoAugmentation, by 0.0"
    )


def test_one_seed_decides_nothing_and_says_so():
    verdict = FALLS.test(table(study(num_seeds=1)))
    assert (verdict.status, verdict.low, verdict.p, verdict.n) == ("undecided", None, None, 1)
    assert "in one complete seed, which gives no interval. At least 3 seeds are needed." in verdict.sentence


def test_no_complete_seed_decides_nothing_and_names_the_absent_trials():
    everything = dict.fromkeys(range(24), "missing")
    del everything[0]
    verdict = FALLS.test(table(absent=everything))
    assert (verdict.status, verdict.effect, verdict.n) == ("undecided", None, 0)
    assert "No seed has all the trials that compare translation correlation per doubling of width" in verdict.sentence
    assert "23 of 24 trials have no result" in verdict.sentence


def test_a_failed_trial_takes_its_seed_out_and_is_named():
    verdict = FALLS.test(table(study(num_seeds=4), absent={9: "failed"}))
    assert verdict.n == 3
    assert "1 of 32 trials has no result (e.g. width=4, augmentation=Crop, seed=1, failed: out of memory)." in (
        verdict.sentence
    )


def test_a_cell_that_fails_in_every_seed_leaves_the_others_comparable():
    verdict = FALLS.test(table(absent={1: "failed", 9: "failed", 17: "failed"}))
    assert (verdict.n, verdict.status) == (3, "supported")
    assert "3 of 24 trials have no result" in verdict.sentence


def test_effects_without_any_spread_are_evidence_only_where_the_seeds_reach_the_trials():
    claim, reached = Trend(Score("parameters"), over=WIDTH, expected="increasing"), table()
    verdict = claim.test(reached)
    assert (verdict.status, verdict.p) == ("supported", None)
    assert " in each of 3 seeds, with identical values." in verdict.sentence
    same = replace(reached, trials=reached.trials.with_columns(test_accuracy=pl.lit(0.9)))
    verdict = claim.test(same)
    assert (verdict.status, verdict.p) == ("undecided", None)
    assert "without spread over the seeds there is no test. Check that the seed reaches the trial." in verdict.sentence


ACCURACY = Score("test_accuracy")


@pytest.mark.parametrize(
    ("expected", "margin", "status"),
    [
        ("increasing", 0.03, "supported"),
        ("increasing", 0.07, "contradicted"),
        ("increasing", 0.05, "undecided"),
        ("decreasing", 0.03, "contradicted"),
        ("unchanged", 0.07, "supported"),
        ("unchanged", 0.03, "contradicted"),
        ("unchanged", 0.05, "undecided"),
    ],
)
def test_a_margin_asks_for_more_than_a_direction(expected, margin, status):
    claim = Contrast(CORRELATION, CROP, CROP.levels[1], CROP.levels[0], expected=expected, margin=margin)
    verdict = claim.test(table(noise=0.004))
    assert verdict.status == status
    assert (verdict.p < 0.05) == (status != "undecided")
    begins = {"increasing": "more than ", "decreasing": "less than -", "unchanged": "between -"}[expected]
    assert f"Claimed: {begins}0.0" in verdict.sentence


def test_an_interval_across_the_end_of_a_claim_decides_nothing_and_says_so():
    claim = Value(CORRELATION, than=0.95, margin=0.05, expected="unchanged", within=((WIDTH, 4),))
    sentence = claim.test(table(noise=0.2)).sentence
    assert sentence.startswith("Translation correlation is ")
    assert "at width 4, and the 95 % t interval [" in sentence
    assert " contains 0.9" in sentence or " contains 1." in sentence
    assert sentence.endswith("Claimed: between 0.9 and 1.")


def test_shares_of_images_are_told_in_points():
    drop = Contrast(ACCURACY, WIDTH, 32, 4, expected="increasing", margin=0.02)
    sentence = drop.test(table()).sentence
    assert sentence.startswith("Test accuracy is higher with width 32 than with 4, by 9.0")
    assert " points, 95 % t interval [8." in sentence
    assert sentence.endswith("Claimed: more than 2 points.")
    gap = Combination("accuracy gap", ((1, ACCURACY), (-1, ACCURACY)))
    same = Value(gap, expected="unchanged", margin=0.001, within=((WIDTH, 8),)).test(table())
    assert (same.status, same.p) == ("supported", None)
    assert same.sentence == (
        "Accuracy gap is 0.00 points, at width 8 in each of 3 seeds, with identical values. "
        "Claimed: between -0.1 points and 0.1 points."
    )
    one = Value(ACCURACY, expected="increasing").test(table(study(num_seeds=1)))
    assert one.status == "undecided"
    assert " % in one complete seed" in one.sentence


def test_judge_corrects_over_the_claims_and_both_must_agree():
    claims = tuple(Claim(f"claim {i}", FALLS) for i in range(3))
    judged = judge_claims(study(claims=claims), table(study(claims=claims)))
    alone = FALLS.test(table()).p
    assert [verdict.p for _, verdict in judged] == pytest.approx([3 * alone] * 3)
    borderline = Verdict(VerdictStatus.SUPPORTED, "It falls.", -1.0, -2.0, -0.1, 0.03, 3)
    first, second = correct_verdicts([borderline, Verdict(VerdictStatus.UNDECIDED, "Nothing.", p=0.5)])
    assert (first.status, first.p) == ("undecided", pytest.approx(0.06))
    assert first.sentence == "It falls. Over 2 claims Holm's correction gives p = 0.06: undecided."
    assert second.sentence == "Nothing."
    assert correct_verdicts([borderline])[0].status == "supported"


def test_p_in_words():
    assert (format_p_value(0.0123), format_p_value(0.0004)) == ("p = 0.012", "p < 0.001")
