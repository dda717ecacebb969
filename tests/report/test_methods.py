from equistudy.report.methods import (
    collect_provenance,
    collect_settings,
    describe_compute,
    describe_method,
    list_absent_trials,
)
from equistudy.study.design import Factor, factorial
from tests.analysis.synthetic import CROP, WIDTH, study, table, trial


def test_the_method_names_design_measures_and_statistics():
    design, measured, statistics = describe_method(study(), table())
    assert design == (
        "24 trials: every combination of width (4, 8, 16, 32 channels) and augmentation (NoAugmentation, Crop), "
        "with 3 seeds."
    )
    assert measured == ("Measured: translation correlation (Correlation, revision 1, on 256 test images per network).")
    assert "Student's t intervals over the seeds" in statistics
    assert "Wilcoxon's test with 3 seeds cannot reach p < 0.05" in statistics


def test_an_uncrossed_design_is_not_called_every_combination():
    parts = factorial(trial, WIDTH, seeds=(0,)) + factorial(trial, CROP, seeds=(0,))
    uncrossed = study(design=parts, claims=())
    assert describe_method(uncrossed, table(uncrossed))[0].startswith("6 trials: 6 combinations of width")


def test_settings_are_those_that_no_trial_changes():
    shared = collect_settings(study())
    assert shared["recipe.epochs"] == "4"
    assert "model.width" not in shared
    assert "augmentation" not in shared
    assert "seed" not in shared


def test_provenance_lists_every_value_that_occurs():
    facts = collect_provenance(table())
    assert facts["commit"] == "0123456789abcdef"
    assert facts["seeds"] == "0, 1, 2"
    assert (facts["torch"], facts["host"], facts["dirty"]) == ("2.13.0", "laptop", "False")


def test_costs_are_the_sums_of_the_rows():
    assert describe_compute(table(absent={0: "failed", 1: "missing"})) == [
        "done: 3.7 min training, 44 s measuring, 22 s lost in 22 trials",
        "failed: 10 s training, 2 s measuring, 1 s lost in 1 trial",
        "total: 3.8 min training, 46 s measuring, 23 s lost",
    ]
    assert describe_compute(table(absent=dict.fromkeys(range(24), "missing"))) == ["Nothing has run yet."]


def test_unfinished_trials_are_listed_with_their_reason():
    failed, missing = list_absent_trials(table(absent={3: "failed", 20: "missing"}))
    assert failed["where"] == "width=8, augmentation=Crop, seed=0"
    assert (failed["status"], failed["why"]) == ("failed", "out of memory: CUDA <out> of memory")
    assert (missing["status"], missing["why"]) == ("missing", "")
    assert len(list_absent_trials(table(absent=dict.fromkeys(range(24), "missing")), limit=5)) == 5


def test_of_many_levels_the_first_and_the_last_are_named():
    many = Factor("width", tuple(range(4, 24)), unit="channels")
    (design, *_) = describe_method((of := study(design=factorial(trial, many, seeds=(0,)), claims=())), table(of))
    assert "20 trials: every combination of width (4, 5, ... 17 more, 23 channels), with" in design
