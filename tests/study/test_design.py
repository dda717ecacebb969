import pytest

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.study.design import Factor, factorial, nested
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification


def trial(width: int, seed: int, depth: int = 8) -> Trial:
    return Trial(ResNet(depth, width), Digits(), Classification(), NoAugmentation(), Recipe(epochs=1), seed)


WIDTH = Factor("width", (2, 4), unit="channels", log=True)
DEPTH = Factor("depth", (8, 14, 20))


def test_factorial_has_every_combination_replicate_by_replicate() -> None:
    design = factorial(trial, WIDTH, DEPTH, seeds=(0, 7))
    cells = list(design.cells())
    assert len(cells) == len(design) == 12
    assert [cell.seed for cell in cells] == [0] * 6 + [7] * 6
    assert cells[1].levels == {"width": 2, "depth": 14}
    assert cells[1].trial == trial(2, 0, depth=14)
    assert len({cell.trial.id for cell in cells}) == 12


def test_conditions_add_and_join_their_levels() -> None:
    design = factorial(trial, WIDTH, seeds=(0,)) + factorial(trial, Factor("width", (4, 8)), DEPTH, seeds=(0,))
    assert len(design) == len(list(design.cells())) == 8
    assert {factor.name: factor.levels for factor in design.factors} == {"width": (2, 4, 8), "depth": (8, 14, 20)}


def test_growing_a_design_adds_trials_and_changes_none() -> None:
    small = {cell.trial.id for cell in factorial(trial, WIDTH, seeds=range(2)).cells()}
    large = {cell.trial.id for cell in factorial(trial, Factor("width", (2, 4, 8)), seeds=range(5)).cells()}
    assert small < large
    assert len(large - small) == 15 - 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: factorial(trial, Factor("widht", (1,)), seeds=(0,)), "Factor 'widht' is no parameter.*mean width"),
        (lambda: factorial(trial, DEPTH, seeds=(0,)), "needs a factor or a default, got neither for width"),
        (lambda: factorial(trial, WIDTH, WIDTH, seeds=(0,)), "Each factor may appear once, got width, width"),
        (lambda: factorial(trial, WIDTH, seeds=()), r"seeds must be different integers, at least one, got seeds=\(\)"),
        (lambda: factorial(trial, WIDTH, seeds=(1, 1)), "seeds must be different integers"),
        (lambda: factorial(lambda width: None, WIDTH, seeds=(0,)), "must take 'seed'.*Add seed: int"),  # type: ignore[arg-type]
        (lambda: Factor("width", ()), "Factor 'width' needs at least one level, got none"),
        (lambda: Factor("width", (1, 1)), "levels of factor 'width' must differ, got 1 more than once"),
        (lambda: Factor("width", (0, 1), log=True), "log=True needs positive numbers"),
        (lambda: Factor("seed", (1,)), "A factor's name must be.*got name='seed'"),
        (lambda: Factor("no name", (1,)), "A factor's name must be.*got name='no name'"),
    ],
)
def test_impossible_designs_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_factors_know_whether_a_trend_has_a_meaning() -> None:
    assert WIDTH.is_numeric
    assert not Factor("augmentation", (NoAugmentation(),)).is_numeric
    assert WIDTH.title == "width (channels)"


def test_nested_factors_pair_each_inner_level_with_its_outer_one() -> None:
    def found(family: str, network: str, padding: int, seed: int) -> Trial:
        return Trial(ResNet(8, len(network)), Digits(), Classification(), NoAugmentation(), Recipe(), seed)

    padding = Factor("padding", (1, 2))
    design = nested(found, "family", "network", {"a": ("a1", "a22"), "b": ("b333",)}, padding, seeds=[0])
    assert len(design) == 6
    assert [tuple(cell.levels.values()) for cell in design.cells()] == [
        ("a", "a1", 1),
        ("a", "a1", 2),
        ("a", "a22", 1),
        ("a", "a22", 2),
        ("b", "b333", 1),
        ("b", "b333", 2),
    ]
    assert [(factor.name, factor.levels) for factor in design.factors] == [
        ("family", ("a", "b")),
        ("network", ("a1", "a22", "b333")),
        ("padding", (1, 2)),
    ]
    with pytest.raises(ValueError, match=r"Each level of 'family' needs its levels of 'network', got none at all"):
        nested(found, "family", "network", {}, padding, seeds=[0])
