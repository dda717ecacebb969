import json
from typing import Any

import pytest
from ray import tune

from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.augmentations.flip import HorizontalFlip
from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.recipe import SGD, Recipe
from equistudy.study.search import Mode, search
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification


def trial(learning_rate: float, augmentation: Augmentation, seed: int) -> Trial:
    recipe = Recipe(epochs=1, optimiser=SGD(learning_rate))
    return Trial(ResNet(8, 2), Digits(), Classification(), augmentation, recipe, seed)


SPACE = {
    "learning_rate": tune.loguniform(1e-3, 1.0),
    "augmentation": tune.choice([NoAugmentation(), HorizontalFlip(0.25)]),
}


def test_what_was_drawn_is_read_back_from_the_results() -> None:
    design = search(trial, SPACE, num_samples=4, mode="min", seed=3)
    assert design.mode is Mode.MIN
    assert design.names == ("learning_rate", "augmentation")
    assert design.factors == ()
    assert list(design.cells()) == []
    drawn = [{"learning_rate": 0.1 + 0.2, "augmentation": "HorizontalFlip(probability=0.25)"}]
    drawn.append({"learning_rate": 0.01, "augmentation": "NoAugmentation"})
    other = {"width": 3}
    known = design.known(json.dumps(levels) for levels in [*drawn, other])
    assert [cell.trial for cell in known.cells()] == [
        trial(0.1 + 0.2, HorizontalFlip(0.25), seed=3),
        trial(0.01, NoAugmentation(), seed=3),
    ]
    assert len(known) == 2
    assert {factor.name: factor.levels for factor in known.factors} == {
        "learning_rate": (0.01, 0.1 + 0.2),
        "augmentation": (HorizontalFlip(0.25), NoAugmentation()),
    }


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        (
            {"learning_rat": 1},
            {},
            r"'learning_rat' of the space is no parameter of trial\(.*Did you mean learning_rate",
        ),
        ({}, {}, "needs a space and at least one sample, got 0 parameters and 3 samples"),
        (SPACE, {"num_samples": 0}, "got 2 parameters and 0 samples"),
        (SPACE, {"mode": "best"}, "mode must be max or min, got mode='best'"),
    ],
)
def test_impossible_searches_are_refused(space: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search(trial, space, **{"num_samples": 3, **options})
