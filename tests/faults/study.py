"""Does a study end with the same tables whatever fails on the way? Small trials, slow while faults last."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import equistudy as eq

SEEDS = int(os.environ.get("FAULTS_SEEDS", "6"))


@dataclass(frozen=True)
class Disturbed(eq.RandomCrop):
    """A random crop that takes as long as the campaign's folder says, and does to its process what it asks for."""

    def apply(self, images, elements):
        folder, began = Path(os.environ.get("FAULTS_FOLDER", "/nowhere")), time.monotonic()
        while time.monotonic() < began + pace(folder):
            time.sleep(0.1)
        for step, seconds in (("late", -3600), ("early", 3600)):
            if asked(folder, step):
                step_clock(seconds)
        if asked(folder, "hang"):
            while True:
                time.sleep(1)
        return super().apply(images, elements)


def step_clock(seconds):
    """Has this process's clock jump."""
    true_time = time.time
    time.time = lambda: true_time() + seconds


def pace(folder: Path) -> float:
    """How many seconds a batch takes at least."""
    try:
        return float((folder / "pace").read_text() or 0)
    except FileNotFoundError:
        return 0.0


def asked(folder: Path, what: str) -> bool:
    """Whether the campaign asks this process for something; asked once."""
    try:
        (folder / f"{what}.{os.getpid()}").unlink()
    except FileNotFoundError:
        return False
    return True


def trial(width: int, seed: int) -> eq.Trial:
    """A network of one or two channels on images of 16 pixels."""
    digits, recipe = eq.Digits(canvas=16, digit=8, train_size=128), eq.Recipe(epochs=8, batch_size=32)
    return eq.Trial(eq.ResNet(8, width), digits, eq.Classification(), Disturbed(padding=2), recipe, seed)


study = eq.Study(
    question="Does a study end with the same tables whatever fails on the way?",
    design=eq.factorial(trial, eq.Factor("width", levels=(1, 2)), seeds=range(SEEDS)),
    measures=(eq.Accuracy(),),
)
