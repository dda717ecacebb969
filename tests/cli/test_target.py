"""From the words of `measure` to specs, and what is wrong with them."""

import re
from pathlib import Path

import pytest

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.crop import RandomCrop
from equistudy.cli.target import (
    build_trial,
    check_classes,
    describe_random_weights,
    is_trial,
    parse_dataset,
    parse_groups,
    parse_measures,
    parse_model,
    rebuild_trial,
)
from equistudy.datasets.dead_leaves import DeadLeaves
from equistudy.datasets.digits import Digits
from equistudy.datasets.image_folder import ImageFolder
from equistudy.datasets.parquet_images import ParquetImages
from equistudy.groups.finite import DihedralGroup, Reflection
from equistudy.groups.one_parameter import Rotation, Scaling, Shear
from equistudy.groups.subpixel import SubpixelTranslation
from equistudy.groups.translation import Border, Translation
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


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("translation", Translation(4)),
        ("translation:3", Translation(3)),
        ("translation:1,32", Translation(32, pixels=(1, 32))),
        ("circular-translation:8,16", Translation(16, Border.CIRCULAR, (8, 16))),
        ("translation:0.5", SubpixelTranslation((0.5,), Border.WINDOW)),
        ("circular-translation:0.5,2", SubpixelTranslation((0.5, 2.0))),
        ("rotation", Rotation()),
        ("rotation:90", Rotation((90.0,))),
        ("rotation:7.5,30", Rotation((7.5, 30.0))),
        ("scaling:1.25", Scaling((1.25,))),
        ("shear", Shear()),
        ("dihedral", DihedralGroup()),
        ("reflection", Reflection()),
    ],
)
def test_groups_by_name(name: str, group: object) -> None:
    assert parse_groups((name,), 0) == (group,)


@pytest.mark.parametrize(("room", "pixels"), [(32, (1, 32)), (46, (1, 32)), (10, (1, 8)), (1, (1,)), (0, (1,))])
def test_the_default_groups_fit_the_room(room: int, pixels: tuple[int, ...]) -> None:
    assert parse_groups((), room) == (Translation(pixels[-1], pixels=pixels), Rotation())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "rotate:90",
            "A group is one of translation, circular-translation, rotation, .* got 'rotate:90'. Did you mean",
        ),
        (
            "rotation:ninety",
            "A group is written NAME:SIZE,SIZE with numbers as sizes, got 'rotation:ninety'. Try rotation:4",
        ),
        ("translation:1.5,nan", "pixels must be different finite shifts other than 0"),
        ("translation:0", "max_pixels must be at least 1"),
        ("dihedral:4", "A group is one of"),
    ],
)
def test_groups_that_are_none(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_groups((name,), 0)


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
    with pytest.raises(ValueError, match=r"Unknown measure 'within'\..*There are: .*between_correlation"):
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
    assert (
        describe_random_weights(bare)
        == describe_random_weights(Window(bare, 32))
        != describe_random_weights(Checkpoint(bare, "x.pt"))
    )


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


def test_a_classifier_that_would_be_replaced_is_refused() -> None:
    model = TimmModel("vit_tiny_patch16_224.augreg_in21k", pretrained=True, protocol=Protocol.NATIVE)
    with pytest.raises(ValueError, match=r"got 21843 classes of .*measure FILE --model vit_tiny_patch16_224$"):
        check_classes(Window(model, 224), DeadLeaves())
    check_classes(TimmModel("resnet18.a1_in1k", pretrained=True, protocol=Protocol.NATIVE), DeadLeaves())


def test_images(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = Window(ResNet(8, 2), 32)
    assert parse_dataset("dead-leaves", None, model, False) == DeadLeaves(size=38, test_images=128)
    assert parse_dataset("dead-leaves", 7, model, False) == DeadLeaves(size=38, test_images=7)
    flat, parquet = tmp_path / "flat", tmp_path / "parquet"
    for folder in (flat, parquet):
        folder.mkdir()
    for number in range(3):
        (flat / f"{number}.png").touch()
    pq.write_table(pa.table({"image": [{"bytes": b"", "path": None}] * 4}), parquet / "a.parquet")
    assert parse_dataset(str(flat), None, model, True) == ImageFolder(str(flat), 38, test_size=3)
    for place in (parquet, parquet / "a.parquet"):
        assert parse_dataset(str(place), 2, model, False) == ParquetImages(str(place), 38, test_size=2, labels=False)
    with pytest.raises(
        ValueError, match=r"--data must be an image folder.* or dead-leaves, got 'dead_leaves', which does not exist"
    ):
        parse_dataset("dead_leaves", None, model, False)


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
