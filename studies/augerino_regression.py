"""Does a network that is asked for the angle of a face learn to leave faces as they are?

Source: Benton et al. (2020, arXiv:2010.11882) learn the range of rotations for a regression of the angle of a face.
Every rotation makes the target wrong, so the range should close: for angles in radians to three times lambda on each
side, here 1.7 degrees. The baselines are no augmentation, and rotations by up to 20 degrees with as many copies.

Finding: on faces, over 3 seeds, the range closes to 6.1 [5.1, 7.0] degrees. The error in degrees is 0.8 [0.1, 1.5]
above that with fixed rotations and 0.5 [-2.5, 3.4] below that without augmentation: no gain, undecided.

Cost: 3 minutes on two cores for faces.

    python -m equistudy run studies/augerino_regression.py                  # embedded digits
    python -m equistudy run studies/augerino_regression.py --scale local    # Olivetti faces from data/olivetti
"""

from enum import Enum
from functools import partial
from math import degrees

import equistudy as eq

Way = Enum("Way", {"NONE": "none", "FIXED": "fixed", "LEARNED": "learned"})
WAY = eq.Factor("way", tuple(Way))
ERROR = eq.Outcome(eq.Score("test_rmse"), name="Error of the angle (deg)")
EXTENT = eq.Score("train_rotation_extent_tail")
DIGITS, TURN = eq.Digits(canvas=32, digit=22, train_size=300, test_size=100), (eq.RotationGenerator(start=20.0),)
AUGMENTATIONS = {
    Way.FIXED: eq.FixedAugmentation(TURN, test_copies=8),
    Way.LEARNED: eq.LearnedAugmentation(TURN, eq.NormRegulariser(0.01), learning_rate=0.04, test_copies=8),
}


def trial(way: Way, seed: int, images: eq.Dataset = DIGITS, paper: bool = False) -> eq.Trial:
    """Some 1,200 images of 22 pixels, the square error in radians; or 12,000 faces of 45 pixels, in degrees.

    Each image is turned several times by up to 90 degrees, and cut so that no corner shows the angle.
    """
    if paper:
        turned = eq.Turned(images, 90.0, copies=30, crop=45, asked=eq.RotationTarget.ANGLE)
        model, task = eq.PlainCNN(((32, 32, 64), (64,), (64,)), 0.0), eq.Regression(1.0)
        recipe = eq.Recipe(50, 128, eq.AdamW(0.01, 0.0))
    else:
        turned = eq.Turned(images, 90.0, copies=4, crop=22, asked=eq.RotationTarget.ANGLE)
        model, task = eq.PlainCNN(((8, 16), (16,), (32,)), 0.0), eq.Regression(degrees(1))
        recipe = eq.Recipe(15, 60, eq.AdamW(0.01, 0.0))
    return eq.Trial(model, turned, task, AUGMENTATIONS.get(way, eq.NoAugmentation()), recipe, seed)


study = eq.Study(
    question="Does a network that is asked for the angle of a face learn to leave faces as they are?",
    design=eq.factorial(trial, WAY, seeds=range(3)),
    measures=(),
    claims=(
        eq.Claim("Learned beats fixed turns", eq.Contrast(ERROR, WAY, Way.LEARNED, Way.FIXED, expected="decreasing")),
        eq.Claim(
            "It costs no 2 degrees", eq.Contrast(ERROR, WAY, Way.LEARNED, Way.NONE, expected="unchanged", margin=2)
        ),
        eq.Claim("The range closes", eq.Value(EXTENT, than=4, expected="decreasing", within=((WAY, Way.LEARNED),))),
    ),
    figures=(eq.Curve(ERROR, WAY), eq.LearningCurve("rotation_extent", color=WAY)),
    scales={
        "local": eq.factorial(partial(trial, images=eq.Olivetti(size=32)), WAY, seeds=range(3)),
        "paper": eq.factorial(partial(trial, images=eq.Olivetti(), paper=True), WAY, seeds=range(3)),
    },
)
