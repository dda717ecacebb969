"""Images across the learned distribution: the pictures against the group's own action on the test image."""

import base64
import io

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from equistudy.analysis.table import StudyTable
from equistudy.augmentations.augmentation import NoAugmentation
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.learned.generators import RotationGenerator, TranslationXGenerator
from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.groups.one_parameter import Rotation
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.report.examples import LearnedImages
from equistudy.study.design import Factor, factorial
from equistudy.study.study import Study
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification

DIGITS = Digits(canvas=16, digit=8)
BOXES = {
    "none": NoAugmentation(),
    "rotation": LearnedAugmentation((RotationGenerator(),)),
    "both": LearnedAugmentation((RotationGenerator(start=5.0).without_learning(), TranslationXGenerator())),
}
BOX = Factor("box", tuple(BOXES))


def trial(box, seed):
    return Trial(ResNet(8, 2), DIGITS, Classification(), BOXES[box], Recipe(1), seed)


def table(*tails):
    """A study of which the trials with these boxes are done, with the half-extents that they learned."""
    study = Study("What is learned?", factorial(trial, BOX, seeds=(0, 1)), ())
    rows = [(trial(box, seed).id, 1, "train", f"{name}_extent_tail", value) for box, seed, name, value in tails]
    curves = pl.DataFrame(rows, schema=["trial", "epoch", "split", "name", "value"], orient="row")
    return StudyTable(study, pl.DataFrame(), pl.DataFrame(), pl.DataFrame(), curves)


def picture(url):
    kind, _, data = url.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) / 255


def test_a_row_goes_from_one_end_of_the_learned_extents_to_the_other():
    figure = LearnedImages(BOX, image=3, count=5)
    frame = figure.frame(table(("rotation", 1, "rotation", 90.0), ("both", 0, "translation_x", 2.0)))
    assert frame["level"].unique(maintain_order=True).to_list() == ["rotation", "both"]
    turns = frame.filter(level="rotation")
    assert turns["moved"].to_list() == ["-90", "-45", "0", "45", "90"]
    image = DIGITS.load(Split.TEST).inputs[3:4] / 255
    for degrees, url in zip((-90.0, -45.0, 0.0, 45.0, 90.0), turns["image"], strict=True):
        expected = Rotation().act(image, torch.tensor([[degrees]]))[0, 0].numpy()
        np.testing.assert_allclose(picture(url), expected, atol=0.005)
    first = frame.filter(level="both")["moved"][0].split(", ")
    assert [abs(float(amount)) <= end for amount, end in zip(first, (5.0, 2.0), strict=True)] == [True, True]
    assert figure.title == "Images across the learned distribution by box"
    assert "from one end of the learned range to the other" in figure.caption(frame)
    drawn = figure.draw(frame).to_dict()
    assert drawn["mark"]["type"] == "image"
    assert drawn["encoding"]["url"]["field"] == "image"


def test_without_a_done_trial_there_is_nothing_to_draw():
    assert LearnedImages(BOX).frame(table(("none", 0, "rotation", 9.0))).is_empty()


def test_impossible_pictures():
    with pytest.raises(ValueError, match=r"count at least 2, got image=0, count=1\. Use image=0, count=9"):
        LearnedImages(BOX, count=1)
