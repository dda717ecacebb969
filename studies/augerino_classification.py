"""Does a classifier of turned images gain from learning how far they may be turned?

Benton et al. (2020, arXiv:2010.11882) find that it does, and learns every angle. Each image is turned once by any;
baselines: no augmentation, turns by up to 20 degrees with as many copies, quarter turns built into the network.

Found on Fashion-MNIST over 3 seeds: turns of 173 [154, 192] degrees to each side are learned. With 600 images and 144
steps accuracy shows no clear gain: 0.8 points [-9.0, 10.5] over none, 1.2 [-2.9, 5.2] over fixed turns.

    python -m equistudy run studies/augerino_classification.py                  # embedded digits
    python -m equistudy run studies/augerino_classification.py --scale local    # Fashion-MNIST from data/fashion-mnist
"""

from enum import Enum
from functools import partial

import equistudy as eq

Way = Enum("Way", {"NONE": "none", "FIXED": "fixed", "LEARNED": "learned", "HANDMADE": "quarter turns"})
WAY = eq.Factor("way", tuple(Way))
ACCURACY, EXTENT = eq.Score("test_accuracy"), eq.Score("train_rotation_extent_tail")
NONE = eq.NoAugmentation()
DIGITS, TURN = eq.Digits(canvas=16, digit=10, train_size=600, test_size=400), (eq.RotationGenerator(start=20.0),)
AUGMENTATIONS = {
    Way.FIXED: eq.FixedAugmentation(TURN, test_copies=8),
    Way.LEARNED: eq.LearnedAugmentation(TURN, eq.NormRegulariser(0.05), learning_rate=0.1, test_copies=8),
}


def trial(way: Way, seed: int, images: eq.Dataset = DIGITS, paper: bool = False) -> eq.Trial:
    """A few hundred images of 16 pixels; or the paper's small network, whose learning rate of 0.1 does not train."""
    group = eq.CyclicGroup(4) if way is Way.HANDMADE else None
    head = eq.Head.MEAN_OF_MAXIMA  # not the default; that of the kept rows
    model: eq.Model = eq.GroupCNN(8 if group else 16, group, 4, last_padded=True, dropout=0.0, head=head)
    if paper:
        model = eq.GroupCNN(64, group) if group else eq.PlainCNN(((128, 128, 256), (256,), (256,)))
    recipe = eq.Recipe(75 if paper else 12, 50, eq.AdamW(0.01, 1e-4 if paper else 0.0))
    return eq.Trial(model, eq.Turned(images), eq.Classification(), AUGMENTATIONS.get(way, NONE), recipe, seed)


study = eq.Study(
    question="Does a classifier of turned images gain from learning how far they may be turned?",
    design=eq.factorial(trial, WAY, seeds=range(3)),
    measures=(),
    claims=(
        eq.Claim("Learned beats none", eq.Contrast(ACCURACY, WAY, Way.LEARNED, Way.NONE, expected="increasing")),
        eq.Claim(
            "Learned beats fixed turns", eq.Contrast(ACCURACY, WAY, Way.LEARNED, Way.FIXED, expected="increasing")
        ),
        eq.Claim(
            "Most angles are learned", eq.Value(EXTENT, than=90, expected="increasing", within=((WAY, Way.LEARNED),))
        ),
    ),
    figures=(eq.Curve(ACCURACY, WAY), eq.LearningCurve("rotation_extent", color=WAY)),
    scales={
        "local": eq.factorial(
            partial(trial, images=eq.FashionMNIST(size=16, train_size=600, test_size=400)), WAY, seeds=range(3)
        ),
        "paper": eq.factorial(partial(trial, images=eq.MNIST(), paper=True), WAY, seeds=range(3)),
    },
)
