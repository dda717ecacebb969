"""Does a network that learns its augmentation find the rotations that the labels allow?

Source: Benton et al. (2020, arXiv:2010.11882) learn a distribution over augmentations together with the weights. For
these sprites the right answer is known: the half-extent at which the smallest possible loss rises as fast as the
regulariser rewards (the oracle).

Finding: 60 networks, 5 seeds. The half-extent grows by 0.961 [0.955, 0.967] degrees per allowed degree. In the weakest
cell it ends 7.5 [5.2, 9.8] degrees below the oracle, which is undecided. A heavier regulariser widens it by 3.3 [2.5,
4.2] degrees.

Cost: 9 minutes on two cores.

    python -m equistudy run studies/learned_invariance.py    # --scale paper: the paper's size, for GPUs
"""

import equistudy as eq

ACCURACY = eq.Accuracy()
LEARNED = eq.Outcome(eq.Score("train_rotation_extent_tail"), name="learned half-extent (deg)")
EXCESS = eq.Outcome(eq.Score("train_rotation_extent_excess"), name="learned minus the oracle's half-extent (deg)")
ALLOWED = eq.Factor("allowed", levels=(0, 30, 45, 60, 90, 180), unit="deg")
WEIGHT = eq.Factor("weight", levels=(0.05, 0.1))


def sprites(allowed: int, size: int, train_size: int, test_size: int) -> eq.Sprites:
    """Upright and upside down, with the jitter that leaves this many degrees; a single sector leaves all of them."""
    if allowed == 180:
        return eq.Sprites(1, 45.0, size, train_size, test_size)
    return eq.Sprites(2, 90.0 - allowed, size, train_size, test_size)


def trial(allowed: int, weight: float, seed: int) -> eq.Trial:
    """300 steps of a small network on sprites of 16 pixels."""
    rotation = (eq.RotationGenerator(start=9.0),)
    augmentation = eq.LearnedAugmentation(rotation, eq.NormRegulariser(weight), learning_rate=0.04)
    recipe = eq.Recipe(epochs=15, batch_size=96, optimiser=eq.AdamW(0.01, 0.0), schedule=eq.Constant())
    data = sprites(allowed, 16, 1920, 480)
    return eq.Trial(eq.ResNet(8, 4), data, eq.Classification(), augmentation, recipe, seed)


def paper_trial(allowed: int, weight: float, seed: int) -> eq.Trial:
    """1,580 steps on sprites of 32 pixels, with the paper's optimiser and start."""
    augmentation = eq.LearnedAugmentation((eq.RotationGenerator(start=9.0),), eq.NormRegulariser(weight))
    recipe = eq.Recipe(epochs=20, batch_size=128, optimiser=eq.AdamW(0.01, 0.0), schedule=eq.Constant())
    data = sprites(allowed, 32, 10_000, 5_000)
    return eq.Trial(eq.ResNet(8, 16), data, eq.Classification(), augmentation, recipe, seed)


WIDENED = eq.Contrast(LEARNED, WEIGHT, 0.1, 0.05, expected="increasing", on_average=True)
study = eq.Study(
    question="Does a network that learns its augmentation find the rotations that the labels allow?",
    design=eq.factorial(trial, ALLOWED, WEIGHT, seeds=range(5)),
    measures=(ACCURACY,),
    claims=(
        eq.Claim("What is learned follows what is allowed", eq.Trend(LEARNED, over=ALLOWED, expected="increasing")),
        eq.Claim("It is the oracle's half-extent", eq.Value(EXCESS, expected="unchanged", margin=5.0)),
        eq.Claim("A heavier regulariser widens it, on average over what is allowed", WIDENED),
    ),
    figures=(
        *(eq.Curve(y=what, x=ALLOWED, color=WEIGHT) for what in (LEARNED, EXCESS, ACCURACY)),
        eq.LearningCurve("rotation_extent", color=ALLOWED, beside=("rotation_extent_oracle",)),
        eq.LearningCurve("rotation_data_slope", color=WEIGHT, beside=("rotation_regulariser_slope",)),
        eq.LearnedImages(ALLOWED),
    ),
    scales={"paper": eq.factorial(paper_trial, ALLOWED, WEIGHT, seeds=range(3))},
)
