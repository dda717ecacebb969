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
    with pytest.raises(ValueError, match=r"The study has no scale 'paper'. There are: none"):
        STUDY.at_scale("paper")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            lambda: {"figures": (Curve(y=ACCURACY, x=FLIP),)},
            r"Figure 1 uses factor 'augmentation', which the design does not vary. There are: width",
        ),
        (
            lambda: {"claims": (Claim("?", FLIPPING),)},
            r"Claim 1 uses factor 'augmentation', which the design does not vary",
        ),
        (
            lambda: {"claims": (Claim("?", Trend(WITHIN, over=WIDTH, expected="increasing")),)},
            r"Claim 1 uses WithinCorrelation.*, which is none of the study's measures. Add it to measures",
        ),
    ],
)
def test_claims_and_figures_must_fit_the_design(changes: Callable[[], dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(STUDY, **changes())


def test_the_first_scale_has_the_name_of_the_study() -> None:
    assert [format_study_name("capacity", scale) for scale in (None, "paper")] == ["capacity", "capacity-paper"]


@pytest.mark.parametrize("scale", ["../../etc", "/tmp/x", "", ".", "..", "a/b", "a\nb", "\x1b[31m", "a" * 300])
def test_a_scale_stays_in_its_folder(scale: str) -> None:
    assert not is_file_name(scale)
    with pytest.raises(ValueError, match=r"The name of a scale becomes that of a folder: .* Rename it"):
        replace(STUDY, scales={scale: STUDY.design})
