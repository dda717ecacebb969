from dataclasses import dataclass

import polars as pl
import pytest

from equistudy.analysis.outcome import Combination, Outcome, Reference, as_outcome, orbit_mean, seen_minus_unseen
from equistudy.analysis.trial_numbers import Score
from equistudy.groups.finite import CyclicGroup
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.consistency import AccuracyUnder
from equistudy.spec import Spec
from tests.analysis.synthetic import CORRELATION, CROP, Correlation, Net, expected_value, table


@dataclass(frozen=True)
class Turned(Correlation):
    """A measure with a group, which may be any spec here."""

    group: Spec | None = None


def test_bad_outcomes_are_refused():
    with pytest.raises(ValueError, match="stages must be a tuple of names, got stages='stem'"):
        Outcome(CORRELATION, stages="stem")
    with pytest.raises(ValueError, match="Score is one number per trial"):
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
    with pytest.raises(ValueError, match="Combination is one number per trial"):
        Outcome(gap, stages=("stem",))
    with pytest.raises(ValueError, match=r"a name and at least one pair .* got name='gap' and 0 parts\. Write Comb"):
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


def test_the_default_is_the_mean_over_the_feature_maps_and_elements():
    found = Outcome(CORRELATION).values_per_trial(table(noise=0.0))
    cell = found.filter(seed=1).select("width", "augmentation", "value")
    first = cell["value"][0] - expected_value(4, CROP.levels[0])
    for width, augmentation, value in cell.rows():
        level = CROP.levels[augmentation == "Crop"]
        assert value == pytest.approx(expected_value(width, level) + first)


def test_a_named_vector_is_measured_where_it_is_asked_for():
    data = table(noise=0.0)
    maps, pooled = (
        Outcome(CORRELATION).values_per_trial(data),
        Outcome(CORRELATION, stages=("pooled",)).values_per_trial(data),
    )
    assert (maps["value"] - pooled["value"]).to_list() == pytest.approx([0.5] * 24)


def test_a_measure_without_maps_takes_every_stage():
    data = table()
    vectors = data.measurement_rows.with_columns(stride=pl.lit(None))
    object.__setattr__(data, "measurement_rows", vectors)
    assert Outcome(CORRELATION).values_per_trial(data)["value"].max() < 0.9


def test_elements_stages_and_references():
    data = table(noise=0.0)
    plain = Outcome(CORRELATION, stages=("stage1",), elements=("dx=1",)).values_per_trial(data)["value"]
    for reference, value in ((Reference.UNTRAINED, 0.7), (Reference.FLOOR, 0.1), (Reference.NO_MOTION, 0.3)):
        less = Outcome(CORRELATION, ("stage1",), ("dx=1",), reference).values_per_trial(data)["value"]
        assert (plain - less).to_list() == pytest.approx([value] * 24)


def test_stages_weigh_the_same_whatever_number_of_elements_they_have():
    data = table(noise=0.0)
    rows = data.measurement_rows.filter((pl.col("stage") != "stem") | (pl.col("element") == "dx=1"))
    object.__setattr__(data, "measurement_rows", rows)
    shift = (
        Outcome(CORRELATION).values_per_trial(data)["value"]
        - Outcome(CORRELATION).values_per_trial(table(noise=0.0))["value"]
    )
    assert shift.to_list() == pytest.approx([0.01 / 3] * 24)


def test_the_gap_leaves_the_seen_orientation_out_and_the_orbit_mean_takes_it_in():
    """Every value of the hand-made results stands beside 0.3 for the images as they are."""
    data, measure = table(), AccuracyUnder(CyclicGroup(2))
    rows = data.measurement_rows.filter(pl.col("element") == "dx=1").with_columns(measure_id=pl.lit(measure.id))
    object.__setattr__(data, "measurement_rows", rows)
    value = Outcome(measure).values_per_trial(data)["value"]
    gap, mean = (Outcome(make(measure)).values_per_trial(data)["value"] for make in (seen_minus_unseen, orbit_mean))
    assert gap.to_list() == pytest.approx((0.3 - value).to_list())
    assert mean.to_list() == pytest.approx(((value + 0.3) / 2).to_list())
    assert Outcome(seen_minus_unseen(measure, unseen=("dx=1",))).values_per_trial(data)["value"].equals(gap)
    assert orbit_mean(measure).title == "Accuracy on moved images, mean over 2 orientations"
    assert not Outcome(seen_minus_unseen(measure)).higher_is_better


def test_a_combination_adds_up_the_parts_of_each_trial_that_has_all():
    data = table(absent={3: "failed"})
    accuracy, correlation = Score("test_accuracy"), Outcome(CORRELATION)
    found = Outcome(Combination("sum", ((2, accuracy), (-1, correlation)))).values_per_trial(data)
    parts = [
        Outcome(part).values_per_trial(data)["value"] if part is accuracy else part.values_per_trial(data)["value"]
        for part in (accuracy, correlation)
    ]
    assert found["value"].to_list() == pytest.approx((2 * parts[0] - parts[1]).to_list())
    first = data.measurement_rows["trial"][0]
    object.__setattr__(data, "measurement_rows", data.measurement_rows.filter(pl.col("trial") != first))
    assert len(Outcome(Combination("sum", ((2, accuracy), (-1, correlation)))).values_per_trial(data)) == 22
    with pytest.raises(TypeError, match="Combination has no stages"):
        Outcome(Combination("sum", ((1, accuracy),))).measurement_rows(data)


def test_missing_lists_failed_and_unmeasured_trials_and_fills_nothing():
    data = table(absent={2: "failed"})
    first = data.measurement_rows["trial"][0]
    object.__setattr__(data, "measurement_rows", data.measurement_rows.filter(pl.col("trial") != first))
    missing = Outcome(CORRELATION).trials_without_value(data)
    assert missing["reason"].to_list() == ["translation correlation not measured", "out of memory"]
    assert len(Outcome(CORRELATION).values_per_trial(data)) == 22


def test_a_value_that_is_not_a_number_is_missing():
    data = table()
    broken = pl.when(pl.col("width") == 4).then(float("nan")).otherwise(pl.col("test_accuracy"))
    object.__setattr__(data, "trials", data.trials.with_columns(test_accuracy=broken))
    assert len(Outcome(Score("test_accuracy")).values_per_trial(data)) == 18


def test_other_measures_are_not_mixed_in():
    assert Outcome(Correlation(max_pixels=2)).values_per_trial(table()).is_empty()


def test_unknown_stages_and_elements_are_named():
    with pytest.raises(ValueError, match=r"No trial was measured at stage 'stage9'\. Did you mean"):
        Outcome(CORRELATION, stages=("stage9",)).values_per_trial(table())
    with pytest.raises(ValueError, match=r"No trial was measured at element 'turn'\. Choose from: dx=1, dy=3"):
        Outcome(CORRELATION, elements=("turn",)).values_per_trial(table())


def test_a_reference_may_be_named_and_no_other_is_taken() -> None:
    """A string ended in an AttributeError after the training."""
    assert Outcome(CORRELATION, reference="untrained") == Outcome(CORRELATION, reference=Reference.UNTRAINED)
    with pytest.raises(ValueError, match=r"reference must be one of none, untrained, .*Did you mean untrained\?"):
        Outcome(CORRELATION, reference="untraned")
