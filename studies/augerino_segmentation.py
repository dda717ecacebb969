"""Does a network that names every pixel of turned scenes gain from a learned equivariance?

Source: Benton et al. (2020, arXiv:2010.11882) rotate each CamVid frame once, by a normally distributed angle with a
standard deviation of 1 radian, and average predictions after rotating them back. The baselines are no augmentation,
rotations by up to 20 degrees or by any angle with as many copies, and a U-Net that is equivariant to quarter turns.

Finding: on CamVid in 24 rows, there is nothing to gain at this size. Against none and over 5 seeds, quarter turns built
in change mean IoU by -0.013 [-0.023, -0.002] and learned turns by -0.032 [-0.043, -0.022]; against 20 degrees, learned
turns change it by -0.0413 [-0.0463, -0.0363]. This says nothing about the full resolution of the paper.

Cost: 10 minutes on two cores for CamVid.

    python -m equistudy run studies/augerino_segmentation.py                  # generated scenes
    python -m equistudy run studies/augerino_segmentation.py --scale local    # CamVid from data/camvid
"""

from enum import Enum
from functools import partial

import equistudy as eq

Way = Enum(
    "Way",
    {"NONE": "none", "FIXED": "20 degrees", "ALL": "180 degrees", "LEARNED": "learned", "HANDMADE": "quarter turns"},
)
WAY = eq.Factor("way", tuple(Way))
UNION, PIXELS = eq.Score("test_mean_iou"), eq.Score("test_pixel_accuracy")
TURN, ALL = ((eq.RotationGenerator(start=width),) for width in (20.0, 180.0))


def augmentation(way: Way, padding: int) -> eq.Augmentation:
    """A canvas that keeps the corners of what is turned."""
    if way in (Way.FIXED, Way.ALL):
        return eq.FixedAugmentation(ALL if way is Way.ALL else TURN, test_copies=4, padding=padding)
    regulariser = eq.NormRegulariser(0.05)
    return eq.LearnedAugmentation(TURN, regulariser, learning_rate=0.1, test_copies=4, padding=padding)


def trial(way: Way, seed: int, streets: bool = False, height: int = 24, epochs: int = 40, width: int = 8) -> eq.Trial:
    """Few frames of 24 rows, for 360 steps on the 72 of CamVid, and a U-Net of 30,000 parameters."""
    scenes = eq.Turned(eq.CamVid(height=height) if streets else eq.Shapes(height, 80, 60), std_degrees=57.3)
    handmade = way is Way.HANDMADE
    model = eq.UNet(width // 2 if handmade else width, 2, eq.CyclicGroup(4) if handmade else None)
    moved = eq.NoAugmentation() if handmade or way is Way.NONE else augmentation(way, height // 4)
    recipe = eq.Recipe(epochs, 8, eq.AdamW(0.01, 0.0))
    return eq.Trial(model, scenes, eq.Segmentation(), moved, recipe, seed)


def gain(baseline: Way) -> eq.Contrast:
    """Learned above a baseline."""
    return eq.Contrast(UNION, WAY, Way.LEARNED, baseline, expected="increasing")


study = eq.Study(
    question="Does a network that names every pixel of turned scenes gain from a learned equivariance?",
    design=eq.factorial(trial, WAY, seeds=range(5)),
    measures=(),
    claims=(
        eq.Claim("Learned turns are better than none", gain(Way.NONE)),
        eq.Claim("Learned turns are better than turns that are too narrow, with as many copies", gain(Way.FIXED)),
        eq.Claim(
            "There is something to gain: quarter turns built in are better than none",
            eq.Contrast(UNION, WAY, Way.HANDMADE, Way.NONE, expected="increasing"),
        ),
    ),
    figures=(
        eq.Curve(UNION, WAY),
        eq.Curve(PIXELS, WAY),
        eq.LearningCurve("rotation_extent", color=WAY),
        eq.LearningCurve("loss", color=WAY),
    ),
    scales={
        "local": eq.factorial(partial(trial, streets=True), WAY, seeds=range(5)),
        "paper": eq.factorial(partial(trial, streets=True, height=360, epochs=500, width=48), WAY, seeds=range(5)),
    },
)
