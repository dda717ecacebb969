"""Does a study end with the same tables whatever fails on the way? Twelve small trials, slow while faults last."""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import equistudy as eq


@dataclass(frozen=True)
class Disturbed(eq.RandomCrop):
    """A random crop that takes the time that the campaign's folder says, and for ever where it asks for a hang."""

    def apply(self, images, elements):
        folder = Path(os.environ.get("FAULTS_FOLDER", "/nowhere"))
        with contextlib.suppress(FileNotFoundError):
            time.sleep(float((folder / "pace").read_text() or 0))
        try:
            (folder / "hang").rename(folder / f"hung.{os.getpid()}")
        except FileNotFoundError:
            return super().apply(images, elements)
        while True:
            time.sleep(1)


def trial(width: int, seed: int) -> eq.Trial:
    """A network of one or two channels on images of 16 pixels."""
    digits, recipe = eq.Digits(canvas=16, digit=8, train_size=128), eq.Recipe(epochs=8, batch_size=32)
    return eq.Trial(eq.ResNet(8, width), digits, eq.Classification(), Disturbed(padding=2), recipe, seed)


study = eq.Study(
    question="Does a study end with the same tables whatever fails on the way?",
    design=eq.factorial(trial, eq.Factor("width", levels=(1, 2)), seeds=range(6)),
    measures=(eq.Accuracy(),),
)
