import json
from typing import Any

import pytest
from ray import tune

from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.recipe import SGD, Recipe
from equistudy.study.search import ROUND, Mode, search
from equistudy.study.space import Choice, LogUniform, Uniform
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
    known = design.with_sampled(json.dumps(levels) for levels in [*drawn, other])
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
        (SPACE, {"confirm": (0, 1)}, r"confirm must hold distinct seeds .* got seed=0, confirm=\(0, 1\)\. For ex"),
        (
            SPACE,
            {"confirm": (1, 1)},
            r"seed of the search, got seed=0, confirm=\(1, 1\)\. For example confirm=\(1, 2, 3\)",
        ),
        (
            {"learning_rate": Choice((1.0,))},
            {"confirm": (1,)},
            r"draw at least one parameter from an interval, .* for learning_rate",
        ),
    ],
)
def test_impossible_searches_are_refused(space: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search(trial, space, **{"num_samples": 3, **options})


def test_the_best_is_known_once_all_are_over_and_confirmed_with_new_seeds() -> None:
    space = {"learning_rate": LogUniform(1e-3, 1.0), "augmentation": Choice((NoAugmentation(), HorizontalFlip(0.25)))}
    design = search(trial, space, num_samples=3, mode="min", confirm=(1, 2))
    assert design.names == ("learning_rate", "augmentation", "round")
    levels = [{"learning_rate": rate, "augmentation": "NoAugmentation"} for rate in (0.1, 0.2, 0.3)]
    texts = [json.dumps(row) for row in levels]
    ids = [trial(row["learning_rate"], NoAugmentation(), 0).id for row in levels]
    ends = {ids[0]: 0.7, ids[1]: 0.4}  # the third was stopped
    assert design.with_sampled(texts[:2], ends).best is None  # not all are drawn
    known = design.with_sampled([*texts, json.dumps({**levels[1], "round": "confirmation"})], ends)
    assert len(known) == 5
    assert known.is_over
    drawn, confirmed = list(known.cells())[:3], list(known.cells())[3:]
    assert {cell.levels["round"] for cell in drawn} == {"drawn"}
    assert {cell.seed for cell in drawn} == {0}
    assert [(cell.levels["learning_rate"], cell.levels["round"], cell.seed) for cell in confirmed] == [
        (0.2, "confirmation", 1),
        (0.2, "confirmation", 2),
    ]
    assert known.factors[-1] == ROUND
    assert search(trial, space, num_samples=3, confirm=(1,)).with_sampled(texts, ends).best["learning_rate"] == 0.1
    assert design.with_sampled(texts, {ids[0]: float("nan")}).best is None


def test_what_the_trial_function_raises_is_known_before_anything_is_drawn() -> None:
    """At the ends of each domain, between them, and at each choice."""
    tried: list[tuple[float, str]] = []

    def named_trial(rate: float, name: str, seed: int) -> Trial:
        tried.append((rate, name))
        if name == "bad":
            raise ValueError("no such name")
        return trial(rate, NoAugmentation(), seed)

    design = search(named_trial, {"rate": LogUniform(1e-3, 1e-1), "name": Choice(("a", "b"))}, num_samples=2)
    design.try_trials()
    assert [rate for rate, _ in tried[:3]] == pytest.approx([1e-3, 1e-2, 1e-1])
    assert {name for _, name in tried} == {"a", "b"}
    with pytest.raises(ValueError, match="no such name"):
        search(named_trial, {"rate": Uniform(0.1, 1), "name": Choice(("a", "bad"))}, num_samples=2).try_trials()
    assert len((design + design).try_trials()) == 2 * len(design.try_trials()) == 10
