"""The design joined with the results; models that read more than code build two networks, which is told."""

import json
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

import equistudy as eq
from equistudy.analysis.outcome import Outcome
from equistudy.analysis.table import StudyTable, describe_absence, describe_mixed_architectures, level_value
from equistudy.analysis.trial_numbers import Score
from equistudy.analysis.verdicts import judge_claims
from equistudy.cli.commands import cli
from equistudy.results import results as stored_results
from equistudy.study.design import Factor, factorial
from tests.analysis.synthetic import CORRELATION, CROP, WIDTH, Net, results, store_results, study, table, trial


def test_numeric_factors_keep_their_numbers_and_others_their_label():
    design = table().design
    assert design.columns == ["trial", "seed", "width", "augmentation"]
    assert design["width"].dtype == pl.Int64
    assert design["augmentation"].unique().sort().to_list() == ["Crop", "NoAugmentation"]
    assert level_value(WIDTH, 8) == 8
    assert level_value(CROP, CROP.levels[1]) == "Crop"


def test_every_trial_of_the_design_has_a_status():
    found = table(absent={1: "failed", 5: "missing"})
    assert len(found.trials) == 24
    assert dict(found.trials["status"].value_counts().rows()) == {"done": 22, "failed": 1, "missing": 1}
    assert found.absent_trials["status"].to_list() == ["failed", "missing"]
    assert found.seeds == (0, 1, 2)


def test_measurements_and_curves_stand_beside_their_factors():
    found = table(absent={0: "failed"})
    assert {"width", "augmentation", "seed", "stage", "value"} <= set(found.measurements.columns)
    assert found.measurements["trial"].n_unique() == found.curves["trial"].n_unique() == 23


def test_removing_a_level_or_a_seed_hides_rows_and_deletes_none():
    wide = study()
    held = results(wide)
    narrow = study(design=factorial(trial, Factor("width", (4, 8), log=True), CROP, seeds=(0, 1)))
    hidden = StudyTable.from_results(narrow, held)
    assert hidden.trials["status"].to_list() == ["done"] * 8
    assert hidden.measurements["width"].unique().sort().to_list() == [4, 8]
    assert (StudyTable.from_results(wide, held).trials["status"] == "done").all()


def test_a_results_column_with_a_factors_name_is_kept_aside():
    def deep(depth: int, seed: int):
        return trial(seed, depth)

    deep_study = study(design=factorial(deep, Factor("depth", (4, 8)), seeds=(0,)), claims=())
    found = StudyTable.from_results(deep_study, results(study()))
    assert found.measurements["depth"].unique().sort().to_list() == [4, 8]
    assert found.measurements["results.depth"].max() == 1.0
    assert found.trials["results.seed"].to_list() == [0, 0]


def test_conditions_join_and_a_shared_trial_stands_once():
    one = factorial(trial, WIDTH, CROP, seeds=(0,))

    def plain(width: int, seed: int):
        return trial(seed, width)

    joined = study(design=one + one + factorial(plain, WIDTH, seeds=(0,)))
    found = StudyTable.from_results(joined, results(study()))
    assert len(found.design) == 8 + 4
    assert found.design["augmentation"].null_count() == 4
    assert found.design["trial"].n_unique() == 8


def test_rows_of_an_earlier_attempt_do_not_count():
    held, whole = results(study()), table()
    earlier = held.measurements.with_columns(attempt=pl.lit(0, pl.Int64))
    held.measurements = pl.concat([held.measurements, earlier])
    assert len(StudyTable.from_results(study(), held).measurements) == len(whole.measurements)


def test_results_with_two_rows_for_one_trial_are_refused():
    held = results(study())
    held.trials = pl.concat([held.trials, held.trials])
    with pytest.raises(pl.exceptions.ComputeError, match="m:1"):
        StudyTable.from_results(study(), held)


def test_stored_results_give_the_same_table_as_those_in_memory(tmp_path):
    """Through the files: the columns that the analysis reads are those that the results write."""
    of, held = study(), results(study(), absent={3: "failed", 9: "missing"})
    store_results(of, held, tmp_path)
    stored, plain = StudyTable.from_results(of, stored_results(tmp_path)), StudyTable.from_results(of, held)
    for outcome in (Outcome(CORRELATION), Outcome(Score("test_accuracy"))):
        assert_frame_equal(outcome.values_per_trial(stored), outcome.values_per_trial(plain))
    columns = ["trial", "seed", "width", "augmentation", "status", "reason"]
    assert_frame_equal(stored.trials.select(columns), plain.trials.select(columns))
    assert judge_claims(of, stored) == judge_claims(of, plain)


def test_absent_trials_are_named_with_their_reason():
    found = table(absent={3: "failed"})
    assert describe_absence(found.absent_trials, found.factors, 24) == (
        "1 of 24 trials has no result (e.g. width=8, augmentation=Crop, seed=0, failed: out of memory)."
    )
    assert describe_absence(found.absent_trials.clear(), found.factors, 24) == ""
    stopped = pl.when(pl.col("status") == "failed").then(pl.lit("stopped early")).alias("reason")
    assert replace(found, trials=found.trials.with_columns(stopped)).absent_trials.is_empty()
    assert Net(4).width == 4


NETS = """
import json
from pathlib import Path
from torch import nn

def build():
    width = json.loads(Path(__file__).with_name("width.json").read_text())
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
"""
STUDY = """
import equistudy as eq
from pathlib import Path

RATE = eq.Factor("rate", levels=(0.01, 0.1))

def trial(rate: float, seed: int) -> eq.Trial:
    model = eq.Custom("build", file=str(Path(__file__).with_name("nets.py")))
    digits = eq.Digits(canvas=10, digit=8, train_size=64)
    recipe = eq.Recipe(epochs=1, batch_size=32, optimiser=eq.SGD(rate))
    return eq.Trial(model, digits, eq.Classification(), eq.NoAugmentation(), recipe, seed)

FASTER = eq.Contrast(eq.Score("test_accuracy"), factor=RATE, level=0.1, baseline=0.01, expected="increasing")
study = eq.Study(
    question="Is faster better?",
    design=eq.factorial(trial, RATE, seeds=range(SEEDS)),
    measures=(),
    claims=(eq.Claim("Faster is better", FASTER),),
)
"""


def test_a_width_from_a_file_is_told_wherever_the_networks_are(tmp_path: Path) -> None:
    def invoke(*arguments: str) -> str:
        done = CliRunner().invoke(cli, [*arguments, "--results", str(tmp_path / "results")])
        assert done.exit_code == 0, done.output
        return done.output

    (tmp_path / "nets.py").write_text(NETS)
    study = tmp_path / "question.py"
    (tmp_path / "width.json").write_text("2")
    study.write_text(STUDY.replace("SEEDS", "2"))
    assert "architectures" not in invoke("run", str(study), "--in-process") + invoke("status", str(study))
    (tmp_path / "width.json").write_text("8")
    study.write_text(STUDY.replace("SEEDS", "3"))
    sentence = r"Networks of Custom\(.*\) have 2 architectures: 4 with 50 parameters .*, 2 with 170 parameters"
    # conv 9 w + w, linear 10 w + 10
    for output in (invoke("run", str(study), "--in-process"), invoke("status", str(study))):
        assert re.search(sentence, output.replace("\n", " ")), output
    record = json.loads(invoke("status", str(study), "--json"))
    assert len(record["mixed_architectures"]) == 1


def test_networks_without_a_digest_and_those_of_other_data_are_not_compared() -> None:
    digits = eq.Digits(canvas=10, digit=8, train_size=64)
    trials = {
        name: eq.Trial(eq.ResNet(8, 2), data, eq.Classification(), eq.NoAugmentation(), eq.Recipe(epochs=1), seed)
        for name, data, seed in (("a", digits, 0), ("b", digits, 1), ("c", replace(digits, canvas=12), 0))
    }
    rows = pl.DataFrame(
        {"trial": ["a", "b", "c"], "seed": [0, 1, 0], "parameters": [5, 6, 7], "network_digest": ["x", None, "y"]}
    )
    assert describe_mixed_architectures(trials.items(), rows) == []
    assert describe_mixed_architectures(trials.items(), rows.drop("network_digest")) == []
    (told,) = describe_mixed_architectures(trials.items(), rows.with_columns(network_digest=pl.col("trial")))
    assert "1 with 5 parameters (e.g. a, seed=0), 1 with 6 parameters (e.g. b, seed=1)." in told
