"""Does a classifier of turned images gain from learning how far they may be turned?

Source: Benton et al. (2020, arXiv:2010.11882) find that it does, and that all angles are learned. Each image is turned
once; the baselines are no augmentation, turns by up to 20 degrees or by any angle, and a group CNN.

Finding: accuracy over 5 seeds rises above none by 17.1 [13.6, 20.6] points on digits, 10.9 [9.7, 12.1] on Fashion-MNIST
and 17.0 [15.3, 18.7] on MNIST, and above 20 degrees by 3.8 [1.7, 5.9], 3.0 [1.6, 4.3] and 4.6 [3.2, 6.0].
Cost: 5 minutes on two cores; MNIST 4.

    python -m equistudy run studies/augerino_classification.py    # digits; --scale local: Fashion-MNIST; mnist
"""

from enum import Enum
from functools import partial

import equistudy as eq

Way = Enum(
    "Way",
    {"NONE": "none", "NARROW": "20 degrees", "ALL": "180 degrees", "LEARNED": "learned", "BUILT": "quarter turns"},
)
WAY = eq.Factor("way", tuple(Way))
ACCURACY, EXTENT = eq.Score("test_accuracy"), eq.Score("train_rotation_extent_tail")
DIGITS = eq.Digits(canvas=16, digit=10, train_size=600, test_size=400)
ARTICLES = eq.FashionMNIST(size=16, train_size=600, test_size=1_000)
SMALL_MNIST = eq.MNIST(size=14, train_size=600, test_size=1_000)
NARROW, ALL = ((eq.RotationGenerator(start=degrees),) for degrees in (20.0, 180.0))
AUGMENTATIONS: dict[Way, eq.Augmentation] = {
    **dict.fromkeys((Way.NONE, Way.BUILT), eq.NoAugmentation()),
    Way.NARROW: eq.FixedAugmentation(NARROW, test_copies=8),
    Way.ALL: eq.FixedAugmentation(ALL, test_copies=8),
    Way.LEARNED: eq.LearnedAugmentation(NARROW, eq.NormRegulariser(0.05), learning_rate=0.1, test_copies=8),
}


def trial(way: Way, seed: int, images: eq.Dataset = DIGITS) -> eq.Trial:
    """A few hundred images of about 16 pixels."""
    group = eq.CyclicGroup(4) if way is Way.BUILT else None
    model = eq.GroupCNN(8 if group else 16, group, 4, last_padded=True, dropout=0.0)
    recipe = eq.Recipe(60, 50, eq.AdamW(0.01, 0.0))
    return eq.Trial(model, eq.Turned(images), eq.Classification(), AUGMENTATIONS[way], recipe, seed)


def paper_trial(way: Way, seed: int) -> eq.Trial:
    """The paper's small network, whose learning rate of 0.1 does not train."""
    model: eq.Model = eq.PlainCNN(((128, 128, 256), (256,), (256,)))
    if way is Way.BUILT:
        model = eq.GroupCNN(64, eq.CyclicGroup(4))
    recipe = eq.Recipe(75, 50, eq.AdamW(0.01, 1e-4))
    return eq.Trial(model, eq.Turned(eq.MNIST()), eq.Classification(), AUGMENTATIONS[way], recipe, seed)


def beats(baseline: Way) -> eq.Contrast:
    """Learned above another arm."""
    return eq.Contrast(ACCURACY, WAY, Way.LEARNED, baseline, expected="increasing")


NEAR = eq.Contrast(ACCURACY, WAY, Way.LEARNED, Way.ALL, expected="unchanged", margin=0.03)
WIDE = eq.Value(EXTENT, than=90, expected="increasing", within=((WAY, Way.LEARNED),))
study = eq.Study(
    question="Does a classifier of turned images gain from learning how far they may be turned?",
    design=eq.factorial(trial, WAY, seeds=range(5)),
    measures=(),
    claims=(
        eq.Claim("Learned turns beat none", beats(Way.NONE)),
        eq.Claim("Learned turns beat turns that are too narrow", beats(Way.NARROW)),
        eq.Claim("They are within 3 points of the right turns given in advance", NEAR),
        eq.Claim("Most angles are learned", WIDE),
    ),
    figures=(
        eq.Curve(ACCURACY, WAY),
        eq.LearningCurve("rotation_extent", color=WAY),
        eq.LearningCurve("loss", color=WAY),
    ),
    scales={
        "local": eq.factorial(partial(trial, images=ARTICLES), WAY, seeds=range(5)),
        "mnist": eq.factorial(partial(trial, images=SMALL_MNIST), WAY, seeds=range(5)),
        "paper": eq.factorial(paper_trial, WAY, seeds=range(5)),
    },
)
