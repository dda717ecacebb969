"""The frames against the numbers that they are made from."""

import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest
from scipy import stats

from equistudy.analysis.outcome import Outcome, Reference
from equistudy.analysis.trial_numbers import Score
from equistudy.report.figures import Curve, LayerProfile, LearningCurve, Scatter
from equistudy.study.design import factorial
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, study, table, trial


def test_a_curve_has_the_mean_its_interval_and_every_seed():
    data = table()
    frame = Curve(CORRELATION, x=WIDTH, color=CROP).frame(data)
    values = Outcome(CORRELATION).values_per_trial(data).filter(width=16, augmentation="Crop")["value"]
    cell = frame.filter(width=16, augmentation="Crop")
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    mean = cell.row(0, named=True)
    assert (mean["seed"], mean["n"]) == (None, 3)
    assert (mean["value"], mean["low"], mean["high"]) == pytest.approx((values.mean(), low, high))
    assert cell["value"].to_list()[1:] == pytest.approx(values.to_list())
    assert len(frame) == 8 * (1 + 3)


def test_a_factor_that_is_not_shown_is_averaged_within_the_seed():
    frame, values = Curve(CORRELATION, x=WIDTH).frame(table()), Outcome(CORRELATION).values_per_trial(table())
    cell = frame.filter(width=4)
    assert cell["n"][0] == 3
    assert cell["value"][1] == pytest.approx(values.filter(width=4, seed=0)["value"].mean())


def test_an_incomplete_seed_is_left_out_of_the_mean_and_the_caption_says_so():
    figure = Curve(CORRELATION, x=WIDTH)
    frame = figure.frame(table(absent={0: "failed"}))
    assert frame.filter(width=4)["n"][0] == 2
    assert figure.caption(frame) == (
        "Mean with 95 % t interval over 2 to 3 seeds (cut off at the edge of the plot); small dots are single seeds."
    )
    assert figure.caption(figure.frame(table())).startswith("Mean with 95 % t interval over 3 seeds;")
    assert figure.caption(figure.frame(table(study(num_seeds=1)))).startswith("One seed, so there is no interval")


def test_a_profile_has_every_stage_and_its_references():
    data = table(noise=0.0)
    figure = LayerProfile(CORRELATION, color=WIDTH)
    frame = figure.frame(data)
    assert frame["stage"].unique(maintain_order=True).to_list() == ["stem", "stage1", "stage2", "pooled", "logits"]
    assert frame.filter("vector")["stage"].unique().sort().to_list() == ["logits", "pooled"]
    assert frame.filter(series="untrained")["value"].to_list() == pytest.approx([0.7] * 20)
    assert frame.filter(series="shuffled pairs")["value"].to_list() == pytest.approx([0.1] * 20)
    means = frame.filter(pl.col("seed").is_null())
    stem, stage2 = (means.filter(series="trained", stage=name, width=8) for name in ("stem", "stage2"))
    assert (stem["value"] - stage2["value"]).item() == pytest.approx(0.04)
    assert stem["n"].item() == 3
    assert figure.caption(frame) == (
        "Mean with 95 % t interval over 3 seeds; small dots are single seeds; dashed: before training; dotted: "
        "shuffled pairs of images."
    )
    seeds = frame.filter(pl.col("seed").is_not_null())
    assert set(seeds["series"]) == {"trained"}
    assert len(seeds) == 3 * 20
    ours = seeds.filter(stage="stem", width=8)["value"]
    assert ours.mean() == pytest.approx(stem["value"].item())


def with_ceilings(aligned: bool | None, ceilings: tuple[float | None, float | None]) -> pl.DataFrame:
    """The ceilings in a profile; those of the last map are given, and whether its first element is aligned."""
    data = table(noise=0.0)
    first, place = pl.col("element") == "dx=1", pl.col("stage") == "stage2"
    rows = data.measurement_rows.with_columns(
        grid_aligned=pl.when(first).then(pl.lit(aligned)).otherwise(pl.lit(False)),
        ceiling=pl.when(place & first).then(pl.lit(ceilings[0], pl.Float64)).when(place).then(pl.lit(ceilings[1])),
    )
    return LayerProfile(CORRELATION).frame(replace(data, measurement_rows=rows)).filter(series="ceiling")


def test_a_ceiling_is_the_mean_of_what_interpolation_leaves_and_of_1_where_cells_move_to_cells():
    assert with_ceilings(True, (None, 0.8)).select("stage", "value").rows() == [("stage2", pytest.approx(0.9))]
    assert with_ceilings(False, (0.6, 0.8)).select("stage", "value").rows() == [("stage2", pytest.approx(0.7))]


def test_a_ceiling_that_is_not_known_of_every_element_is_not_drawn():
    assert with_ceilings(False, (None, 0.8)).is_empty()
    assert with_ceilings(None, (None, 0.8)).is_empty()


def test_a_profile_of_a_gain_keeps_the_reference_subtracted():
    gain = LayerProfile(Outcome(CORRELATION, reference=Reference.UNTRAINED)).frame(table(noise=0.0))
    plain = LayerProfile(CORRELATION).frame(table(noise=0.0))
    difference = plain.filter(series="trained")["value"] - gain.filter(series="trained")["value"]
    assert difference.to_list() == pytest.approx([0.7] * 20)


def test_a_learning_curve_has_each_epoch_and_split():
    frame = LearningCurve("accuracy", color=CROP).frame(table())
    assert frame.group_by("split", "augmentation").len()["len"].to_list() == [4] * 4
    last = frame.filter(augmentation="Crop", split="train")
    assert last["value"][3] == pytest.approx(4 * last["value"][0])
    with pytest.raises(ValueError, match=r"No trial has a curve 'acuracy'\. Did you mean accuracy"):
        LearningCurve("acuracy").frame(table())


def test_curves_beside_each_other_and_one_that_is_known_at_the_end():
    """The accuracy of each epoch, and beside it a number that only the last epoch has, drawn over all of them."""
    data = table()
    last = data.curve_rows.filter(name="accuracy", split="train").filter(epoch=pl.col("epoch").max())
    expected = last.with_columns(name=pl.lit("accuracy_expected"), value=pl.lit(0.25))
    data = replace(data, curve_rows=pl.concat([data.curve_rows, expected]))
    figure = LearningCurve("accuracy", color=CROP, beside=("accuracy_expected",))
    frame = figure.frame(data)
    assert frame.group_by("curve", "augmentation").len()["len"].to_list() == [4] * 4
    assert frame.filter(curve="accuracy expected")["value"].to_list() == [0.25] * 8
    alone = LearningCurve("accuracy", color=CROP).frame(data).filter(split="train")
    assert frame.filter(curve="accuracy")["value"].to_list() == pytest.approx(alone["value"].to_list())
    assert figure.title == "accuracy, accuracy expected during training by augmentation"
    assert figure.draw(frame).to_dict()
    with pytest.raises(ValueError, match=r"No trial has a curve 'oracle'"):
        LearningCurve("accuracy", beside=("oracle",)).frame(data)


def test_a_scatter_joins_both_outcomes_of_each_trial():
    figure = Scatter(x=Score("test_accuracy"), y=CORRELATION, color=CROP)
    frame = figure.frame(table(absent={0: "failed"}))
    assert (frame["x_value"] + frame["y_value"]).to_list() == pytest.approx([1.7] * 23)
    caption = figure.caption(frame)
    assert "pooled -1.00 over 23 trials" in caption
    assert "within each augmentation -1.00" in caption
    assert Scatter(x=Score("seconds"), y=CORRELATION).caption(
        Scatter(x=Score("seconds"), y=CORRELATION).frame(table())
    ) == ("Each dot is a trial.")


def test_figures_name_what_they_need():
    figure = Scatter(x=Score("test_accuracy"), y=CORRELATION, color=CROP)
    assert (figure.measures, figure.factors) == ((CORRELATION,), ("augmentation",))
    assert Curve(CORRELATION, x=WIDTH, color=CROP).factors == ("width", "augmentation")
    assert LearningCurve("loss").outcomes == ()
    without = factorial(trial, CROP, seeds=(0,))
    with pytest.raises(ValueError, match="Figure 1 uses factor 'width', which the design does not vary"):
        study(design=without, claims=(), figures=(Curve(CORRELATION, x=WIDTH),))


def test_titles():
    assert Curve(CORRELATION, x=WIDTH, color=CROP).title == "translation correlation by width and augmentation"
    assert LayerProfile(CORRELATION).title == "translation correlation along the network"
    assert LearningCurve("top_loss", color=CROP).title == "top loss during training by augmentation"
    assert Scatter(Score("seconds"), CORRELATION).title == "translation correlation against seconds"


def test_naming_figures_and_claims_imports_neither_altair_nor_torch_nor_scipy():
    code = (
        "import sys, equistudy.report.figures, equistudy.analysis.claims; "
        "print([name for name in ('altair', 'torch', 'scipy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_one_factor_may_be_axis_and_colour() -> None:
    for figure in (Curve(CORRELATION, WIDTH, WIDTH), Curve(CORRELATION, CROP, CROP)):
        assert figure.factors == (figure.x.name,)
        frame = figure.frame(table())
        assert frame.filter(pl.col("seed").is_null())[figure.x.name].n_unique() == len(figure.x.levels)
        assert figure.draw(frame).to_dict()
