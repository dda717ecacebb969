"""Does a network that learns its augmentation find, on real images, the turns that the labels allow?

Source: Benton et al. (2020, arXiv:2010.11882) learn a distribution over augmentations together with the weights. Here
digits or articles lie in two sectors of the circle, and the label combines class and sector, so that the rotations that
preserve the label are known, and with them the half-extent at which the smallest possible loss rises as fast as the
regulariser rewards (the oracle).

Finding: at the angle where it is farthest, the half-extent ends below the oracle with weights of 0.05 and 0.1 by 12.9
[9.6, 16.2] and 6.3 [5.7, 6.8] degrees on digits, and by 60.5 [60.0, 61.1] and 13.3 [6.0, 20.5] on articles. A network
that memorises its images stays far from the minimal loss, so its training loss outweighs the regulariser even at small
rotations.

Cost: 8 minutes on two cores; articles 11.

    python -m equistudy run studies/learned_turns.py                  # embedded digits
    python -m equistudy run studies/learned_turns.py --scale local    # Fashion-MNIST from data/fashion-mnist
"""

from functools import partial

import equistudy as eq

ACCURACY = eq.Accuracy()
LEARNED = eq.Outcome(eq.Score("train_rotation_extent_tail"), name="learned half-extent (deg)")
EXCESS = eq.Outcome(eq.Score("train_rotation_extent_excess"), name="learned minus the oracle's half-extent (deg)")
ALLOWED = eq.Factor("allowed", levels=(30, 45, 60), unit="deg")
WEIGHT = eq.Factor("weight", levels=(0.05, 0.1))


def trial(allowed: int, weight: float, seed: int, images: eq.Dataset, classes: tuple[int, ...]) -> eq.Trial:
    """640 steps of a network that ends in max pooling, as the paper's, on classes that turned look like no other."""
    augmentation = eq.LearnedAugmentation((eq.RotationGenerator(start=9.0),), eq.NormRegulariser(weight), 0.04)
    recipe = eq.Recipe(epochs=10, batch_size=96, optimiser=eq.AdamW(0.01, 0.0), schedule=eq.Constant())
    model = eq.PlainCNN(((8, 16), (32,), (64,)), dropout=0.0, max_pooled=True)
    data = eq.Sectors(images, 2, 90.0 - allowed, classes, 6144, 1024)
    return eq.Trial(model, data, eq.Classification(), augmentation, recipe, seed)


def oracle(weight: float) -> eq.Value:
    """That what is learned with this weight is the oracle's half-extent, within 10 degrees."""
    return eq.Value(EXCESS, expected="unchanged", margin=10.0, within=((WEIGHT, weight),))


digits_trial = partial(trial, images=eq.Digits(16, 16), classes=(3, 4, 7))
articles_trial = partial(trial, images=eq.FashionMNIST(size=16), classes=(0, 1, 9))  # shirts, trousers, boots
HEAVIER = eq.Contrast(LEARNED, WEIGHT, 0.1, 0.05, expected="increasing")
study = eq.Study(
    question="Does a network that learns its augmentation find, on real images, the turns that the labels allow?",
    design=eq.factorial(digits_trial, ALLOWED, WEIGHT, seeds=range(5)),
    measures=(ACCURACY,),
    claims=(
        eq.Claim("What is learned follows what is allowed", eq.Trend(LEARNED, over=ALLOWED, expected="increasing")),
        eq.Claim("With the paper's weight of 0.05 it is the oracle's half-extent", oracle(0.05)),
        eq.Claim("With twice the weight it is the oracle's half-extent", oracle(0.1)),
        eq.Claim("The heavier regulariser widens it", HEAVIER),
    ),
    figures=(
        *(eq.Curve(y=what, x=ALLOWED, color=WEIGHT) for what in (LEARNED, EXCESS, ACCURACY)),
        eq.LearningCurve("rotation_extent", color=ALLOWED, beside=("rotation_extent_oracle",)),
        eq.LearnedImages(ALLOWED),
    ),
    scales={"local": eq.factorial(articles_trial, ALLOWED, WEIGHT, seeds=range(5))},
)
