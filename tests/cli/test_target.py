"""From the words of `measure` to specs, and what is wrong with them."""

import re
from pathlib import Path

import pytest

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.crop import RandomCrop
from equistudy.cli.new_trial import build_trial
from equistudy.cli.target import is_trial, parse_measures, parse_model, rebuild_trial
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.digits import Digits
from equistudy.groups.one_parameter import Rotation
from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.correlation import WithinCorrelation
from equistudy.measures.lie_derivative import LieDerivative
from equistudy.models.checkpoint import Checkpoint
from equistudy.models.custom import Custom
from equistudy.models.resnet import ResNet
from equistudy.models.timm_model import Protocol, TimmModel
from equistudy.models.window import Window
from equistudy.recipe import SGD, AdamW, Cosine, Precision, Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification


def test_measures_by_public_name_under_every_group() -> None:
    groups = (Translation(1), Rotation())
    assert parse_measures(("within-correlation", "accuracy", "accuracy"), groups) == (
        *(WithinCorrelation(group) for group in groups),
        Accuracy(),
    )
    assert parse_measures(("lie_derivative_error",), groups[:1]) == (LieDerivative(Translation(1)),)
    assert parse_measures(("within_correlation", "lie_derivative_error"), groups[:1], bf16=True) == (
        WithinCorrelation(Translation(1), precision=Precision.BFLOAT16),
        LieDerivative(Translation(1)),
    )
    names = [measure.name for measure in parse_measures((), groups)]
    assert names == [
        name for name in ("within_correlation", "between_correlation", "shift_consistency") for _ in groups
    ]
    with pytest.raises(ValueError, match=r"Unknown measure 'within'\..*Choose from: .*between_correlation"):
        parse_measures(("within",), groups)


def test_networks(tmp_path: Path) -> None:
    nets = str(tmp_path / "nets.py")
    assert parse_model(f"{nets}:small", None, None, ("a", "b")) == Window(Custom("small", nets, ("a", "b")), 224)
    assert parse_model("x.pt", f"{nets}:small", 32, ()) == Window(Checkpoint(Custom("small", nets), "x.pt"), 32)
    bare = TimmModel("resnet18", protocol=Protocol.NATIVE)
    assert parse_model("resnet18", None, None, ()) == bare
    assert parse_model("resnet18", None, 225, ()) == Window(bare, 225)
    assert parse_model("x.safetensors", "resnet18", None, ()) == Checkpoint(bare, "x.safetensors")
    assert [is_trial(name) for name in ("t_7fcb", "t_7fcb12.pt", "resnet18")] == [True, False, False]
    assert parse_model("x.th", "resnet18", None, ()) == Checkpoint(bare, "x.th")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x.pt", None, None, ()), r"A weights file needs an architecture, got only x\.pt\. Add --model NAME"),
        (("resnet18", "resnet18", None, ()), r"--model is the architecture for a weights file .* got 'resnet18'"),
        (("resnet18", None, None, ("layer1",)), r"--stages works only with FILE\.py:FUNCTION, got 'resnet18'"),
    ],
)
def test_networks_that_are_none(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_model(*arguments)


TRIALS = [
    Trial(
        ResNet(8, 2),
        Digits(canvas=16, digit=8, train_size=64),
        Classification(),
        RandomCrop(padding=2),
        Recipe(3, optimiser=AdamW(betas=(0.8, 0.9)), schedule=Cosine(0.1), precision=Precision.BFLOAT16),
        2,
    ),
    build_trial(Window(ResNet(14, 3), 32), DeadLeaves(size=38, radii=(0.1, 0.2))),
    Trial(ResNet(8, 2), Digits(), Classification(), NoAugmentation(), Recipe(2, 64, SGD(1, 0)), 0),
]


@pytest.mark.parametrize("trial", TRIALS, ids=range(len(TRIALS)))
def test_a_trial_is_rebuilt_from_its_columns(trial: Trial) -> None:
    again = rebuild_trial(trial.build_columns(), None)
    assert again == trial
    assert again.id == trial.id


def test_a_trial_that_would_be_another_today_is_refused() -> None:
    columns = {**TRIALS[0].build_columns(), "fingerprint": "then"}
    with pytest.raises(ValueError, match=re.escape("where fingerprint was then, is ")):
        rebuild_trial({**columns, "trial": "t_1"}, None)
    with pytest.raises(ValueError, match=r"equistudy's own components, got model=Poisoned\(width=2\)\. Name the study"):
        rebuild_trial({**columns, "model": "Poisoned(width=2)"}, None)
    with pytest.raises(ValueError, match=r"Digits.* is not read from files, so --data does not apply"):
        rebuild_trial(columns, "photos")
