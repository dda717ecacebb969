import re

import numpy as np
import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.claims import Contrast, Trend, Value
from equistudy.analysis.outcome import Outcome
from equistudy.analysis.trial_numbers import Score
from tests.analysis.synthetic import CORRELATION, CROP, GAIN, SLOPE, WIDTH, study, table

FALLS = Trend(CORRELATION, over=WIDTH, expected="decreasing", on_average=True)
CROP_HELPS = Contrast(CORRELATION, CROP, CROP.levels[1], CROP.levels[0], expected="increasing", on_average=True)


def test_trend_equals_a_t_test_over_the_slopes_of_the_seeds():
    data = table(study(num_seeds=5))
    values = Outcome(CORRELATION).values_per_trial(data)
    slopes = []
    for seed in range(5):
        cells = [values.filter(seed=seed, augmentation=name) for name in ("Crop", "NoAugmentation")]
        slopes.append(np.mean([stats.linregress(np.log2(c["width"]), c["value"]).slope for c in cells]))
    reference, verdict = stats.ttest_1samp(slopes, 0), FALLS.test(data)
    low, high = reference.confidence_interval(0.95)
    assert (verdict.effect, verdict.low, verdict.high) == pytest.approx((np.mean(slopes), low, high))
    assert (verdict.p, verdict.n) == (pytest.approx(reference.pvalue), 5)
    assert verdict.low < SLOPE < verdict.high


def test_contrast_equals_a_paired_t_test_over_the_seeds():
    data = table(study(num_seeds=4))
    values = Outcome(CORRELATION).values_per_trial(data).sort("width", "seed")
    arms = [
        values.filter(augmentation=name)["value"].to_numpy().reshape(4, 4).mean(axis=0)
        for name in ("Crop", "NoAugmentation")
    ]
    verdict = CROP_HELPS.test(data)
    assert verdict.p == pytest.approx(stats.ttest_rel(*arms).pvalue)
    assert verdict.low < GAIN < verdict.high


def test_within_restricts_to_one_level():
    plain = Trend(CORRELATION, over=WIDTH, expected="decreasing", within=((CROP, CROP.levels[0]),))
    data = table(absent={1: "failed"})
    assert plain.factors == ("width", "augmentation")
    assert plain.test(data).n == 3
    assert "no result" not in plain.test(data).sentence
    assert plain.measures == (CORRELATION,)


def test_a_contrast_names_absent_trials_of_its_two_levels_alone():
    data = table(study(num_seeds=4), absent={9: "failed"})  # of width 4
    wider = [Contrast(CORRELATION, WIDTH, 16, narrow, expected="decreasing").test(data) for narrow in (8, 4)]
    assert "no result" not in wider[0].sentence
    assert "1 of 16 trials has no result (e.g. width=4, augmentation=Crop, seed=1, failed" in wider[1].sentence


def test_a_value_equals_a_t_test_against_what_it_is_compared_with():
    data = table(study(num_seeds=5))
    claim = Value(CORRELATION, than=0.95, expected="decreasing", within=((WIDTH, 8), (CROP, CROP.levels[0])))
    values = (
        Outcome(CORRELATION).values_per_trial(data).filter(width=8, augmentation="NoAugmentation")["value"].to_numpy()
    )
    reference, verdict = stats.ttest_1samp(values, 0.95), claim.test(data)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (verdict.effect, verdict.low, verdict.high) == pytest.approx((values.mean(), low, high))
    assert verdict.p == pytest.approx(reference.pvalue)
    assert claim.factors == ("width", "augmentation")
    assert claim.details(data) == ""


def test_a_value_is_averaged_over_what_is_left_open():
    data = table(study(num_seeds=3))
    mean = Outcome(CORRELATION).values_per_trial(data).group_by("seed").agg(pl.col("value").mean())["value"]
    assert Value(CORRELATION, expected="increasing", on_average=True).test(data).effect == pytest.approx(mean.mean())


def test_details_give_the_effect_size_and_the_rank_correlation():
    assert "Hedges' g = -" in FALLS.details(table())
    assert "Spearman rho = -0." in FALLS.details(table())
    assert "over 24 trials" in FALLS.details(table())
    assert CROP_HELPS.details(table()).startswith("Hedges' g = ")


def test_a_contrast_is_also_told_as_if_its_samples_were_not_paired():
    """The seeds differ by more than crops add noise, so that Welch's interval is the longer one."""
    data = table()
    by_seed = (
        Outcome(CORRELATION)
        .values_per_trial(data)
        .group_by("augmentation", "seed")
        .agg(pl.col("value").mean())
        .sort("seed")
    )
    crop, none = (by_seed.filter(augmentation=name)["value"] for name in ("Crop", "NoAugmentation"))
    welch = stats.ttest_ind(crop, none, equal_var=False).confidence_interval(0.95)
    found = re.search(r"; unpaired \(Welch\) (\S+) \[(\S+), (\S+)\]$", CROP_HELPS.details(data))
    assert found is not None
    expected = crop.mean() - none.mean(), welch.low, welch.high
    assert [float(number) for number in found.groups()] == pytest.approx(expected, abs=1e-3)
    paired = CROP_HELPS.test(data)
    assert welch.high - welch.low > 2 * (paired.high - paired.low)


def test_details_of_an_outcome_that_does_not_vary_within_the_cells():
    assert Trend(Score("seconds"), over=WIDTH, expected="increasing").details(table()) == ""
