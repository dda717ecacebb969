"""Does a network that learns its augmentation find the rotations that the labels allow?

Benton et al. (2020, arXiv:2010.11882) learn a distribution over augmentations together with the weights. Here the
labels of two sprites allow further turns by 0 to 180 degrees, and what training should find has a closed form: the
half-extent at which the least possible loss rises as fast as the regulariser pays.

    python -m equistudy run studies/learned_invariance.py                  # 36 networks, minutes on a laptop
    python -m equistudy run studies/learned_invariance.py --scale paper    # the paper's size, for GPUs
"""

import equistudy as eq

ACCURACY, LEARNED = eq.Accuracy(), eq.Score("train_rotation_extent_tail")
ORACLE, EXCESS = eq.Score("train_rotation_extent_oracle"), eq.Score("train_rotation_extent_excess")
ALLOWED = eq.Factor("allowed", levels=(0, 30, 45, 60, 90, 180), unit="deg")
WEIGHT = eq.Factor("weight", levels=(0.05, 0.1))


def sprites(allowed: int, size: int, train_size: int, test_size: int) -> eq.Sprites:
    """Upright and upside down, each with the jitter that leaves so many degrees; one sector leaves all of them."""
    sectors, jitter = (1, 45.0) if allowed == 180 else (2, 90.0 - allowed)
    return eq.Sprites(sectors, jitter, size, train_size, test_size)


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


study = eq.Study(
    question="Does a network that learns its augmentation find the rotations that the labels allow?",
    design=eq.factorial(trial, ALLOWED, WEIGHT, seeds=range(3)),
    measures=(ACCURACY,),
    claims=(
        eq.Claim("What is learned follows what is allowed", eq.Trend(LEARNED, over=ALLOWED, expected="increasing")),
        eq.Claim("It is the oracle's half-extent", eq.Value(EXCESS, expected="unchanged", margin=5.0)),
        eq.Claim("A heavier regulariser widens it", eq.Contrast(LEARNED, WEIGHT, 0.1, 0.05, expected="increasing")),
    ),
    figures=(
        eq.Curve(y=LEARNED, x=ALLOWED, color=WEIGHT),
        eq.Curve(y=EXCESS, x=ALLOWED, color=WEIGHT),
        eq.LearningCurve("rotation_extent", color=ALLOWED),
        eq.Scatter(x=ORACLE, y=LEARNED, color=WEIGHT),
        eq.Curve(y=ACCURACY, x=ALLOWED, color=WEIGHT),
    ),
    scales={"paper": eq.factorial(paper_trial, ALLOWED, WEIGHT, seeds=range(3))},
)
