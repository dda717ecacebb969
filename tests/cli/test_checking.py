"""What would fail after hours of training is found by one step of each cell, with its place in the study."""

from pathlib import Path

import pytest

from equistudy.cli.checking import check_study
from equistudy.cli.status import load_requested_study, plan_study
from equistudy.cli.study_reference import StudyReference

STUDY = """
import equistudy as eq

ACCURACY, WITHIN = eq.Accuracy(), eq.WithinCorrelation(eq.Translation(max_pixels=1))
WIDTH = eq.Factor("width", levels=(2, 4), unit="channels")


class Odd(eq.ResNet):
    def build(self, image_shape, num_outputs):
        return super().build(image_shape, num_outputs + ODD)


ODD = 0


def trial(width: int, seed: int) -> eq.Trial:
    data = eq.Digits(canvas=16, digit=8, train_size=64, test_size=64)
    recipe = eq.Recipe(epochs=1, batch_size=32)
    return eq.Trial(Odd(8, width), data, eq.Classification(), eq.NoAugmentation(), recipe, seed)


study = eq.Study(
    question="Will it run?",
    design=eq.factorial(trial, WIDTH, seeds=range(2)),
    measures=(ACCURACY, WITHIN),
    claims=(eq.Claim("It rises", eq.Trend(ACCURACY, over=WIDTH, expected="increasing")),),
    figures=(eq.LayerProfile(y=WITHIN, color=WIDTH),),
)
"""


def check(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    text = STUDY
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = tmp_path / "to_check.py"
    path.write_text(text)
    told: list[str] = []
    known, made = plan_study(load_requested_study(StudyReference(path, None, str(tmp_path / "results"))), "nowhere")
    try:
        return [*check_study(known, made, told.append), *told]
    finally:
        assert not (tmp_path / "results").exists()


def test_a_sound_study_is_said_to_be_one(tmp_path: Path) -> None:
    line, *told = check(tmp_path)
    assert line == (
        "Checked: each of 2 cells took one step and was measured on 16 images. All claims (1) and figures (1) work on "
        "such rows. None of these numbers was kept."
    )
    assert told == ["[1/2] one step of width=2, seed=0", "[2/2] one step of width=4, seed=0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("eq.LayerProfile(y=WITHIN, color=WIDTH)", 'eq.Curve(y=eq.Outcome(WITHIN, stages=("stge1",)), x=WIDTH)'),
            r"in one place:\n  figure 1 \(Curve\): ValueError: .*'stge1'",
        ),
        (
            ("batch_size=32", "batch_size=3200"),
            r"in 2 places:\n  width=2, seed=0: ValueError: batch_size must be at most",
        ),
        (("ODD = 0", "ODD = -9"), r"in 2 places:\n  width=2, seed=0: \w+: "),
    ],
    ids=["stage", "batch", "outputs"],
)
def test_what_would_fail_later_is_told_now(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=r"The study would fail " + message):
        check(tmp_path, change)
