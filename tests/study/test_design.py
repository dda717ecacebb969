import itertools
import re
import subprocess
import sys

import pytest

from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.study.design import Factor, factorial, nested, take_bounded
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
        (lambda: factorial(trial, Factor("widht", (1,)), seeds=(0,)), r"Factor 'widht' is not a parameter.*mean width"),
        (lambda: factorial(trial, DEPTH, seeds=(0,)), "needs a factor or a default, got neither for width"),
        (lambda: factorial(trial, WIDTH, WIDTH, seeds=(0,)), "Each factor may appear once, got width, width"),
        (
            lambda: factorial(trial, WIDTH, seeds=()),
            r"seeds must be one or more distinct integers, none of them negative, got seeds=\[\]",
        ),
        (lambda: factorial(trial, WIDTH, seeds=(1, 1)), "seeds must be one or more distinct integers"),
        (lambda: factorial(lambda width: None, WIDTH, seeds=(0,)), "must take 'seed'.*Add seed: int"),  # type: ignore[arg-type]
        (lambda: Factor("width", ()), "Factor 'width' needs at least one level, got none"),
        (lambda: Factor("width", (1, 1)), "levels of factor 'width' must differ, got 1 more than once"),
        (lambda: Factor("width", (0, 1), log=True), "log=True needs positive numbers"),
        (lambda: Factor("seed", (1,)), "A factor must be named after a parameter.*got name='seed'"),
        (lambda: Factor("no name", (1,)), "A factor must be named after a parameter.*got name='no name'"),
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
    with pytest.raises(
        ValueError, match=r"At least one level of 'family' with its levels of 'network' is needed, got none"
    ):
        nested(found, "family", "network", {}, padding, seeds=[0])


@pytest.mark.parametrize("values", [range(5), range(0), range(5, 0), range(7, 0, -2), range(0, 7, 3), range(0, 6, 3)])
def test_the_number_of_a_range_is_that_of_its_elements(values: range, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUISTUDY_MAX_TRIALS", "3")
    if len(values) <= 3:
        assert take_bounded(values, "The seeds") == tuple(values)
        return
    with pytest.raises(ValueError, match=f"The seeds must number at most 3, got {len(values)}. Take fewer, or set EQ"):
        take_bounded(values, "The seeds")


HUGE = """
import resource, sys, time
import equistudy as eq

def trial(width: int, seed: int) -> eq.Trial:
    raise AssertionError("nothing is built")

def endless():
    number = 0
    while True:
        yield number
        number += 1

width = eq.Factor("width", (1, 2))
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
for make in (
    lambda: eq.factorial(trial, width, seeds=range(10**9)),
    lambda: eq.factorial(trial, width, seeds=range(10**30)),
    lambda: eq.factorial(trial, width, seeds=range(0, -(10**30), -7)),
    lambda: eq.Factor("width", range(10**9)),
    lambda: eq.factorial(trial, eq.Factor("width", tuple(range(2000))), seeds=range(2000)),
):
    try:
        make()
    except ValueError as error:
        print(error)
print(time.perf_counter() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_a_slip_in_a_number_is_refused_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", HUGE], capture_output=True, text=True, check=True)
    *told, spent = done.stdout.splitlines()
    way_out = r"Take fewer, or set EQUISTUDY_MAX_TRIALS to a larger number\."
    for line, number in zip(told, (10**9, 10**30, -(-(10**30) // 7), 10**9, 4_000_000), strict=True):
        assert re.fullmatch(rf"The .* must number at most 1,000,000, got {number:,}\. {way_out}", line)
    seconds, megabytes = map(float, spent.split())
    assert seconds < 1
    assert megabytes < 100


WRONG = """
import equistudy as eq

def trial(seed: int) -> eq.Trial:
    raise AssertionError("nothing is built")

for seeds in ([True], [1.5], ["0"], [-1], [None], [float("nan")], [0, 0], [], True, "012", None, 3):
    try:
        eq.factorial(trial, seeds=seeds)
    except (ValueError, TypeError) as error:
        print(error)
"""


def test_seeds_are_different_whole_numbers() -> None:
    """In a process of its own, without the type checks of the tests."""
    done = subprocess.run([sys.executable, "-c", WRONG], capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    assert len(told) == 12
    for line in told[:8]:
        assert re.fullmatch(r"seeds must be one or more distinct integers.*, got seeds=.*Use range\(5\) for .*", line)
    for line in told[8:]:
        assert re.fullmatch(r"The seeds must be a sequence, got .* Use a tuple, a list or a range\.", line)


def test_an_endless_sequence_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUISTUDY_MAX_TRIALS", "10")
    with pytest.raises(ValueError, match="must number at most 10, got 11"):
        take_bounded(itertools.count(), "The seeds")
    with pytest.raises(TypeError, match="The seeds must be a sequence, got True"):
        take_bounded(True, "The seeds")
    monkeypatch.setenv("EQUISTUDY_MAX_TRIALS", "many")
    with pytest.raises(ValueError, match="EQUISTUDY_MAX_TRIALS must be a positive integer, got 'many'"):
        take_bounded([1], "The seeds")
