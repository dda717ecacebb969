import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from equistudy.analysis.claims import Contrast, Trend
from equistudy.augmentations.action import HorizontalFlip
from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.datasets.digits import Digits
from equistudy.groups.translation import Translation
from equistudy.measures.accuracy import Accuracy
from equistudy.measures.correlation import WithinCorrelation
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.report.figures import Curve
from equistudy.study.design import Factor, factorial
from equistudy.study.study import Claim, Study, format_study_name, is_file_name
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

ACCURACY, WITHIN = Accuracy(), WithinCorrelation(Translation(max_pixels=1))
WIDTH = Factor("width", (2, 4), log=True)
FLIP = Factor("augmentation", (NoAugmentation(), HorizontalFlip()))

FLIPPING = Contrast(ACCURACY, factor=FLIP, level=FLIP.levels[1], baseline=FLIP.levels[0], expected="increasing")


def trial(width: int, seed: int, augmentation: Augmentation = FLIP.levels[0]) -> Trial:
    return Trial(ResNet(8, width), Digits(), Classification(), augmentation, Recipe(epochs=1), seed)


STUDY = Study("Why?", factorial(trial, WIDTH, seeds=range(2)), (ACCURACY,))


def test_a_scale_is_the_same_question_with_another_design() -> None:
    large = factorial(trial, WIDTH, FLIP, seeds=range(5))
    study = replace(STUDY, scales={"paper": large})
    assert study.at_scale(None) is study
    assert study.at_scale("paper").design is large
    assert study.at_scale("paper").question == "Why?"
    with pytest.raises(ValueError, match=r"The study has no scale 'papr'. Did you mean paper\?"):
        study.at_scale("papr")
    with pytest.raises(ValueError, match=r"The study has no scale 'paper'. There are none to choose from"):
        STUDY.at_scale("paper")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            lambda: {"figures": (Curve(y=ACCURACY, x=FLIP),)},
            r"Figure 1 uses factor 'augmentation', which the design does not vary. Choose from: width",
        ),
        (
            lambda: {"claims": (Claim("?", FLIPPING),)},
            r"Claim 1 uses factor 'augmentation', which the design does not vary",
        ),
        (
            lambda: {"claims": (Claim("?", Trend(WITHIN, over=WIDTH, expected="increasing")),)},
            r"Claim 1 uses WithinCorrelation.*, which is not among the study's measures. Add it to measures",
        ),
    ],
)
def test_claims_and_figures_must_fit_the_design(changes: Callable[[], dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(STUDY, **changes())


WRONG_TYPES = {
    "eq.Study(5, design, (accuracy,))": "Study.question must be a string, got 5. Write the question in quotes",
    "eq.Study('?', 5, (accuracy,))": "Study.design must be a design, got 5. Build one with factorial(",
    "eq.Study('?', design, (accuracy,), scales={'paper': 5})": "Study.scales['paper'] must be a design, got 5",
    "eq.Study('?', design, accuracy)": "Study.measures must be a tuple, got Accuracy(). Write measures=",
    "eq.Study('?', design, ('accuracy',))": "Study.measures must contain only measures, got 'accuracy' at position 1",
    "eq.Study('?', design, (accuracy,), (trend,))": "Study.claims must contain only claims, got Trend(",
    "eq.Study('?', design, (accuracy,), figures=(accuracy,))": "Study.figures must contain only figures, got Accuracy",
    "eq.Claim('?', 5)": "Claim.test must be a test such as Trend(...) or Contrast(...), got 5",
    "eq.factorial(5, width, seeds=(0,))": "factorial takes a function that builds a trial first, got 5",
    "eq.factorial(print, 'width', seeds=(0,))": "factorial takes factors after the function, got 'width'",
    "eq.Factor(3, (1, 2))": "got name=3. Rename it",
    "eq.Trend(accuracy, over='width', expected='increasing')": "over must be a Factor, got 'width'",
    "eq.Curve(accuracy, 'width')": "Curve.x must be a Factor, got 'width'. Use the factor of the design itself",
    "eq.Curve(accuracy, width, 5)": "Curve.color must be a Factor, got 5",
    "eq.Curve('accuracy', width)": "Curve.y must be a measure or an Outcome, got 'accuracy'",
}
SCRIPT = """
import json, sys, equistudy as eq
accuracy, width = eq.Accuracy(), eq.Factor("width", (2, 4))
trend = eq.Trend(accuracy, over=width, expected="increasing")
design = eq.factorial(lambda width, seed: None, width, seeds=(0,))
for text in json.load(sys.stdin):
    try:
        print("no error:", eval(text))
    except (TypeError, ValueError) as error:
        print(str(error).replace(chr(10), " "))
"""


def test_parts_of_the_wrong_type_are_named() -> None:
    # in a process of its own: the type checks of the tests would come first
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(list(WRONG_TYPES)), capture_output=True, text=True, check=True
    )
    for message, (text, wanted) in zip(ran.stdout.splitlines(), WRONG_TYPES.items(), strict=True):
        assert wanted in message, text


def test_the_first_scale_has_the_name_of_the_study() -> None:
    assert [format_study_name("capacity", scale) for scale in (None, "paper")] == ["capacity", "capacity-paper"]


@pytest.mark.parametrize("scale", ["../../etc", "/tmp/x", "", ".", "..", "a/b", "a\nb", "\x1b[31m", "a" * 300])
def test_a_scale_stays_in_its_folder(scale: str) -> None:
    assert not is_file_name(scale)
    with pytest.raises(ValueError, match=r"A scale's name is also a folder's, .* Rename it"):
        replace(STUDY, scales={scale: STUDY.design})
