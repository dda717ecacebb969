"""Models that read more than code: networks of two sizes are named by status, by run and by the verdict."""

import json
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
from click.testing import CliRunner

import equistudy as eq
from equistudy.analysis.architectures import describe_mixed_architectures
from equistudy.cli.commands import cli

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
