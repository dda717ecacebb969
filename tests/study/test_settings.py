"""Settings of a command line give the trials that the study's file would give with the same values in it."""

from dataclasses import replace
from typing import Any

import pytest

import equistudy as eq
from equistudy.study.design import Design, factorial, nested
from equistudy.study.settings import apply_settings, format_settings, parse_setting

ACCURACY = eq.Accuracy()
WIDTH = eq.Factor("width", (2, 4, 8), log=True)
RATE = eq.Factor("rate", (0.1, 0.2))
NONE, CROP = eq.NoAugmentation(), eq.RandomCrop(padding=4)
AUGMENTATION = eq.Factor("augmentation", (NONE, CROP))


def trial(
    seed: int, width: int = 4, augmentation: eq.Augmentation = NONE, rate: float = 0.1, epochs: int = 3
) -> eq.Trial:
    recipe = eq.Recipe(epochs=epochs, label_smoothing=rate)
    return eq.Trial(eq.ResNet(8, width), eq.Digits(), eq.Classification(), augmentation, recipe, seed)


def resolve(name: str) -> Any:
    return getattr(eq, name)


def change(design: Design, *settings: str) -> Design:
    study = eq.Study("Why?", design, (ACCURACY,))
    return apply_settings(study, [parse_setting(text) for text in settings], resolve).design


def trials(design: Design) -> list[eq.Trial]:
    return [cell.trial for cell in design.cells()]


SMALL = factorial(trial, WIDTH, AUGMENTATION, RATE, seeds=range(2))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["width=2,8"], factorial(trial, replace(WIDTH, levels=(2, 8)), AUGMENTATION, RATE, seeds=range(2))),
        (["width=32"], factorial(trial, replace(WIDTH, levels=(32,)), AUGMENTATION, RATE, seeds=range(2))),
        (["rate=0.3,0"], factorial(trial, WIDTH, AUGMENTATION, replace(RATE, levels=(0.3, 0.0)), seeds=range(2))),
        (["seeds=0-4"], factorial(trial, WIDTH, AUGMENTATION, RATE, seeds=range(5))),
        (["seeds=7,3"], factorial(trial, WIDTH, AUGMENTATION, RATE, seeds=(7, 3))),
        (
            ["augmentation=RandomCrop(padding=4)"],
            factorial(trial, WIDTH, replace(AUGMENTATION, levels=(CROP,)), RATE, seeds=range(2)),
        ),
        (
            ["augmentation=NoAugmentation,RandomCrop(padding=2)", "width=2"],
            factorial(
                trial,
                replace(WIDTH, levels=(2,)),
                replace(AUGMENTATION, levels=(NONE, eq.RandomCrop(padding=2))),
                RATE,
                seeds=range(2),
            ),
        ),
    ],
)
def test_levels_and_seeds_are_those_of_a_file_that_has_them(settings: list[str], expected: Design) -> None:
    assert trials(change(SMALL, *settings)) == trials(expected)
    assert [cell.levels for cell in change(SMALL, *settings).cells()] == [cell.levels for cell in expected.cells()]


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("recipe.epochs=9", "epochs", 9),
        ("recipe.precision=bfloat16", "precision", eq.Precision.BFLOAT16),
        ("recipe.schedule=Cosine()", "schedule", eq.Cosine()),
        ("recipe.batch_size=32", "batch_size", 32),
    ],
)
def test_a_field_is_that_of_every_trial_and_of_its_id(setting: str, field: str, value: object) -> None:
    found = trials(change(SMALL, setting))
    assert found == [replace(one, recipe=replace(one.recipe, **{field: value})) for one in trials(SMALL)]
    assert {one.id for one in found}.isdisjoint(one.id for one in trials(SMALL))


def test_a_field_reaches_the_trials_that_have_it() -> None:
    found = trials(change(SMALL, "augmentation.padding=1"))
    expected = [
        replace(one, augmentation=eq.RandomCrop(padding=1)) if one.augmentation == CROP else one
        for one in trials(SMALL)
    ]
    assert found == expected


def test_levels_within_levels_keep_their_own() -> None:
    def other(seed: int, family: str, width: int) -> eq.Trial:
        return replace(trial(seed, width), recipe=eq.Recipe(epochs=len(family)))

    design = nested(other, "family", "width", {"thin": (2, 4), "wide": (8, 16)}, seeds=[0])
    assert [cell.levels for cell in change(design, "width=4,8").cells()] == [
        {"family": "thin", "width": 4},
        {"family": "wide", "width": 8},
    ]
    assert [cell.levels["width"] for cell in change(design, "family=wide").cells()] == [8, 16]


def test_a_search_takes_fields_and_keeps_its_space() -> None:
    design = eq.search(trial, {"rate": eq.LogUniform(0.01, 0.5)}, num_samples=3)
    (first, *_) = change(design, "recipe.epochs=9").try_trials()
    assert first.trial.recipe.epochs == 9
    with pytest.raises(ValueError, match=r"A search draws its levels, got --set seeds=1. Set a field of its trials"):
        change(design, "seeds=1")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("recipe.epochs", r"A setting is NAME=VALUE, got 'recipe.epochs'. For example recipe.epochs=2"),
        ("=2", "A setting is NAME=VALUE, got '=2'"),
        ("a b=2", "A setting is NAME=VALUE, got 'a b=2'"),
        ("widht=2", r"The study has no factor 'widht', got --set widht=2. Did you mean width\?"),
        ("width=a", "The levels of 'width' are whole numbers, got 'a' in --set width=a"),
        ("width=2.5", "The levels of 'width' are whole numbers, got 2.5"),
        ("width=true", "The levels of 'width' are whole numbers, got True"),
        ("rate=fast", "The levels of 'rate' are numbers, got 'fast'"),
        ("augmentation=Crop", "'Crop' is no level of factor 'augmentation', got --set augmentation=Crop"),
        ("augmentation=RandomCrop(pad=1)", r"RandomCrop\(pad=1\) cannot be made: .*RandomCrop has no field 'pad'"),
        ("seeds=x", "seeds takes whole numbers, got --set seeds=x. For example seeds=0-4"),
        ("seeds=4-1", "seeds takes distinct whole numbers in ascending ranges, got --set seeds=4-1"),
        ("seeds=1,1", "seeds takes distinct whole numbers in ascending ranges, got --set seeds=1,1"),
        ("recipe.epoch=2", r"Recipe has no field 'epoch', got --set recipe.epoch=2. Did you mean epochs\?"),
        ("recipes.epochs=2", r"Trial has no field 'recipes', got .* Did you mean recipe\?"),
        ("recipe.precision=half", "recipe.precision takes one of float32, bfloat16, got --set recipe.precision=half"),
        ("model.width=4", r"A factor of the design already varies model.width, got --set model.width=4.*one of: width"),
        ("recipe.batch_size=-1", "batch_size"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(setting: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        change(SMALL, setting)


def test_names_of_files_say_what_was_set_and_stay_short() -> None:
    assert (
        format_settings([parse_setting("width=4,8"), parse_setting("recipe.epochs=2")]) == "width=4,8-recipe.epochs=2"
    )
    assert (
        format_settings([parse_setting("augmentation=RandomCrop(padding=2)")]) == "augmentation=RandomCrop_padding=2_"
    )
    assert format_settings([parse_setting("dataset.folder=/../../etc")]) == "dataset.folder=_.._.._etc"
    long = [format_settings([parse_setting(f"a.b={'x' * 99}{end}")]) for end in "yz"]
    assert len(set(long)) == 2
    assert all(len(name) < 90 for name in long)
    assert format_settings([]) == ""
