from dataclasses import replace

import polars as pl
import pytest

from equistudy.analysis.claims import Contrast, Trend, Value
from equistudy.analysis.effect_test import Direction
from equistudy.analysis.outcome import Combination, Outcome, Reference
from equistudy.analysis.table import StudyTable
from equistudy.analysis.trial_numbers import Score
from equistudy.analysis.verdicts import VerdictStatus, correct_verdicts, format_p_value, judge_claims
from equistudy.groups.translation import Translation
from equistudy.measures.correlation import WithinCorrelation
from equistudy.study.study import Claim, Verdict
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study, table

FALLS = Trend(CORRELATION, over=WIDTH, expected="decreasing", on_average=True)
CROP_HELPS = Contrast(CORRELATION, CROP, CROP.levels[1], CROP.levels[0], expected="increasing", on_average=True)


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
    assert contrast.startswith("Translation correlation is higher with augmentation Crop than with NoAugmentation: 0.0")


def test_one_seed_decides_nothing_and_says_so():
    verdict = FALLS.test(table(study(num_seeds=1)))
    assert (verdict.status, verdict.low, verdict.p, verdict.n) == ("undecided", None, None, 1)
    assert "in the only complete seed. An interval needs at least 3 seeds." in verdict.sentence


def test_no_complete_seed_decides_nothing_and_names_the_absent_trials():
    everything = dict.fromkeys(range(24), "missing")
    del everything[0]
    verdict = FALLS.test(table(absent=everything))
    assert (verdict.status, verdict.effect, verdict.n) == ("undecided", None, 0)
    assert verdict.sentence.startswith("No trial at width 8, 16, 32 has a value: the trend is undecided.")
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
    claim, reached = Trend(Score("parameters"), over=WIDTH, expected="increasing", on_average=True), table()
    verdict = claim.test(reached)
    assert (verdict.status, verdict.p) == ("supported", None)
    assert " in each of 3 seeds, with identical values." in verdict.sentence
    same = replace(reached, trials=reached.trials.with_columns(test_accuracy=pl.lit(0.9)))
    verdict = claim.test(same)
    assert (verdict.status, verdict.p) == ("undecided", None)
    assert "so it cannot be tested. Check that the trial uses its seed." in verdict.sentence


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
    pair = CROP.levels[1], CROP.levels[0]
    claim = Contrast(CORRELATION, CROP, *pair, expected=expected, margin=margin, on_average=True)
    verdict = claim.test(table(noise=0.004))
    assert verdict.status == status
    assert (verdict.p < 0.05) == (status != "undecided")
    begins = {"increasing": "more than ", "decreasing": "less than -", "unchanged": "between -"}[expected]
    assert f"Claimed: {begins}0.0" in verdict.sentence


def test_an_interval_across_the_end_of_a_claim_decides_nothing_and_says_so():
    claim = Value(CORRELATION, than=0.95, margin=0.05, expected="unchanged", within=((WIDTH, 4),), on_average=True)
    sentence = claim.test(table(noise=0.2)).sentence
    assert sentence.startswith("Translation correlation is ")
    assert "at width 4, and the 95 % t interval [" in sentence
    assert " contains 0.9" in sentence or " contains 1." in sentence
    assert sentence.endswith("Claimed: between 0.9 and 1.")


def test_shares_of_images_are_told_in_points():
    drop = Contrast(ACCURACY, WIDTH, 32, 4, expected="increasing", margin=0.02, on_average=True)
    sentence = drop.test(table()).sentence
    assert sentence.startswith("Test accuracy is higher with width 32 than with 4: 9.0")
    assert " points, 95 % t interval [8." in sentence
    assert sentence.endswith("Claimed: more than 2 points.")
    gap = Combination("accuracy gap", ((1, ACCURACY), (-1, ACCURACY)))
    same = Value(gap, expected="unchanged", margin=0.001, within=((WIDTH, 8),), on_average=True).test(table())
    assert (same.status, same.p) == ("supported", None)
    assert same.sentence == (
        "Accuracy gap is 0.00 points, at width 8 in each of 3 seeds, with identical values. "
        "Claimed: between -0.1 points and 0.1 points."
    )
    one = Value(ACCURACY, expected="increasing", on_average=True).test(table(study(num_seeds=1)))
    assert one.status == "undecided"
    assert " % in the only complete seed" in one.sentence


def test_judge_corrects_over_the_claims_and_both_must_agree():
    claims = tuple(Claim(f"claim {i}", FALLS) for i in range(3))
    judged = judge_claims(study(claims=claims), table(study(claims=claims)))
    alone = FALLS.test(table()).p
    assert [verdict.p for _, verdict in judged] == pytest.approx([3 * alone] * 3)
    borderline = Verdict(VerdictStatus.SUPPORTED, "It falls.", -1.0, -2.0, -0.1, 0.03, 3)
    first, second = correct_verdicts([borderline, Verdict(VerdictStatus.UNDECIDED, "Nothing.", p=0.5)])
    assert (first.status, first.p) == ("undecided", pytest.approx(0.06))
    assert first.sentence == "It falls. After Holm's correction over 2 claims, p = 0.06: undecided."
    assert second.sentence == "Nothing."
    assert correct_verdicts([borderline])[0].status == "supported"


def test_p_in_words():
    assert (format_p_value(0.0123), format_p_value(0.0004)) == ("p = 0.012", "p < 0.001")


def shifted(effects: dict[str, float]) -> StudyTable:
    """The synthetic table with the accuracy of each augmentation at width 32 moved by so much."""
    data = table()
    more = pl.lit(0.0)
    for name, effect in effects.items():
        more = more + pl.when(pl.col("augmentation") == name, pl.col("width") == 32).then(effect).otherwise(0.0)
    return replace(data, trials=data.trials.with_columns(test_accuracy=pl.col("test_accuracy") + more))


@pytest.mark.parametrize(
    ("effects", "status", "counts"),
    [
        ({}, "supported", "supported in 2"),
        ({"Crop": 0.2, "NoAugmentation": 0.1}, "supported", "supported in 2"),
        ({"Crop": 0.5, "NoAugmentation": -0.2}, "contradicted", "supported in 1, contradicted in 1"),
        ({"Crop": -0.2, "NoAugmentation": -0.2}, "contradicted", "contradicted in 2"),
    ],
)
def test_a_claim_over_several_cells_is_judged_in_each(effects: dict[str, float], status: str, counts: str) -> None:
    """On average +0.24 and clear of 0, and in one of two cells the other way: contradicted, by that cell's numbers."""
    data = shifted(effects)
    claim = Contrast(ACCURACY, WIDTH, 32, 4, expected="increasing")
    verdict = claim.test(data)
    assert verdict.status == status
    assert f"This is the weakest of 2 cells ({counts}); the mean effect is " in verdict.sentence
    cells = {
        name: Contrast(ACCURACY, WIDTH, 32, 4, expected="increasing", within=((CROP, level),), on_average=True).test(
            data
        )
        for name, level in zip(("NoAugmentation", "Crop"), CROP.levels, strict=True)
    }
    worst = min(cells, key=lambda name: cells[name].effect)
    assert (verdict.effect, verdict.low, verdict.high) == pytest.approx(cells[worst][2:5])
    assert verdict.effects == pytest.approx(cells[worst].effects)
    assert f"at augmentation {worst}" in verdict.sentence
    average = replace(claim, on_average=True).test(data)
    assert average.status == (
        "contradicted" if status == "contradicted" and len(set(effects.values())) == 1 else "supported"
    )
    p = min(1, 2 * cells[worst].p) if status == "contradicted" else max(cell.p for cell in cells.values())
    assert verdict.p == pytest.approx(p)


def test_a_trend_without_one_of_its_levels_is_undecided_unless_allowed() -> None:
    absent = {place: "failed" for place in range(24) if place % 8 in (6, 7)}
    data = table(absent=absent)
    (level,) = set(WIDTH.levels) - set(data.trials.filter(status="done")["width"])
    strict = FALLS.test(data)
    assert (strict.status, strict.effect) == ("undecided", None)
    assert f"No trial at width {level} has a value: the trend is undecided." in strict.sentence
    assert replace(FALLS, allow_absent_levels=True).test(data).status == "supported"


def test_claims_about_learning_subtract_the_untrained_network() -> None:
    data = table()
    slopes = {4: 0.5, 8: 0.4, 16: 0.3, 32: 0.2}
    rows = data.measurement_rows.join(data.design.select("trial", "width"), on="trial")
    before = pl.col("width").replace_strict(slopes, return_dtype=pl.Float64)
    data = replace(data, measurement_rows=rows.with_columns(untrained=before).drop("width"))
    falls = replace(FALLS, outcome=Outcome(CORRELATION, reference=Reference.LEARNED))
    learned = falls.test(data)
    plain = replace(FALLS, outcome=Outcome(CORRELATION, reference=Reference.NONE)).test(data)
    assert learned.effect == pytest.approx(plain.effect + 0.1)
    assert learned.sentence.startswith("Learned translation correlation rises with width")
    assert f"same network before training; without this, the mean effect is {plain.effect:.4f}" in (learned.sentence)
    assert falls.test(table()).effect == pytest.approx(plain.effect)
    never = replace(data, measurement_rows=data.measurement_rows.with_columns(untrained=pl.lit(None, pl.Float64)))
    assert falls.test(never).effect == pytest.approx(plain.effect)
    assert "No network was measured before training" in falls.test(never).sentence


def test_correlations_under_a_group_are_learned_unless_a_reference_is_named() -> None:
    measure = WithinCorrelation(Translation())
    claim = Contrast(measure, CROP, CROP.levels[1], CROP.levels[0], expected="increasing")
    assert claim.outcomes[0].reference is Reference.LEARNED
    plain = replace(claim, outcome=Outcome(measure, reference=Reference.NONE))
    assert plain.outcomes[0].reference is Reference.NONE
    assert Value(measure, expected="increasing").outcomes[0].reference is None


def test_stages_at_which_every_network_is_at_one_are_left_out() -> None:
    data = table()
    rows = data.measurement_rows
    stem = rows.with_columns(stage=pl.lit("entry"), value=pl.lit(0.9995), untrained=pl.lit(1.0))
    both = replace(data, measurement_rows=pl.concat([rows, stem]))
    falls = replace(FALLS, outcome=Outcome(CORRELATION, reference=Reference.LEARNED))
    assert falls.outcomes[0].saturated_stages(both) == ["entry"]
    assert falls.test(both).effect == pytest.approx(falls.test(data).effect)
    assert "Left out: entry, where every network is at 1." in falls.test(both).sentence
