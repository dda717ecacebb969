"""Does a network for molecules gain from learning that energies do not depend on turns?

Source: Benton et al. (2020, arXiv:2010.11882) find on QM9 that it does, with errors near those of augmentation by all
rigid motions. Here the network sees differences of positions, and few examples, so that it overfits. The baselines are
no augmentation, rotations by up to 10 degrees or by all angles with as many copies, and a network that sees only
distances.

Finding: on points, whose target depends on distances alone, learned rotations lower the error below none by 0.0048
[0.0034, 0.0061] and below 10 degrees by 0.0042 [0.0030, 0.0053], and distances by 0.0091 [0.0055, 0.0128]. On QM7 it
cannot be decided with 200 molecules and 5 seeds: learned rotations lower the error in kcal/mol by 1.0 [-1.2, 3.2] below
none, and distances, which bound what is to be gained, by 2.8 [1.0, 4.7], with p = 0.052 after the correction.

Cost: 1 minute on two cores; QM7 takes 12 minutes on a busy machine.

    python -m equistudy run studies/augerino_molecules.py                  # generated points and their mean distance
    python -m equistudy run studies/augerino_molecules.py --scale local    # atomisation energies of QM7 from data/qm7
"""

from enum import Enum
from functools import partial

import equistudy as eq

Way = Enum(
    "Way",
    {"NONE": "none", "NARROW": "10 degrees", "FIXED": "all turns", "LEARNED": "learned", "HANDMADE": "distances"},
)
WAY = eq.Factor("way", tuple(Way))
ERROR = eq.Outcome(eq.Score("test_mae"), name="Mean absolute error")
EXTENTS = [eq.Score(f"train_{generator.name}_extent_tail") for generator in eq.SO3]
AUGMENTATIONS = {
    Way.NARROW: eq.FixedAugmentation(tuple(generator.with_start(10.0) for generator in eq.SO3), test_copies=8),
    Way.FIXED: eq.FixedAugmentation(tuple(generator.with_start(180.0) for generator in eq.SO3), test_copies=8),
    Way.LEARNED: eq.LearnedAugmentation(eq.SO3, eq.NormRegulariser(0.05), learning_rate=0.1, test_copies=8),
}
POINTS = eq.PointClouds(train_size=100, test_size=300)
FEW, PAPER = eq.Recipe(100, 20, eq.AdamW(0.01, 0.0)), eq.Recipe(500, 30, eq.AdamW(0.01, 0.0))


def trial(way: Way, seed: int, molecules: eq.Dataset = POINTS, width: int = 16, recipe: eq.Recipe = FEW) -> eq.Trial:
    """Two small networks with sums between them, for 500 steps on 100 sets of points, or 1,000 on 200 molecules."""
    model = eq.PointNetwork(width, eq.PairFeatures.DISTANCES if way is Way.HANDMADE else eq.PairFeatures.DIFFERENCES)
    return eq.Trial(model, molecules, eq.Molecules(), AUGMENTATIONS.get(way, eq.NoAugmentation()), recipe, seed)


def lower(way: Way, baseline: Way) -> eq.Contrast:
    """A smaller error than that of another arm."""
    return eq.Contrast(ERROR, WAY, way, baseline, expected="decreasing")


study = eq.Study(
    question="Does a network for molecules gain from learning that energies do not depend on turns?",
    design=eq.factorial(trial, WAY, seeds=range(5)),
    measures=(),
    claims=(
        eq.Claim("Learned turns beat none", lower(Way.LEARNED, Way.NONE)),
        eq.Claim("Learned turns beat turns that are too narrow", lower(Way.LEARNED, Way.NARROW)),
        eq.Claim("There is something to gain: distances beat none", lower(Way.HANDMADE, Way.NONE)),
        eq.Claim(
            "Wide turns are learned",
            eq.Value(
                eq.Combination("Mean half-extent of the three turns (deg)", tuple((1 / 3, e) for e in EXTENTS)),
                than=60,
                expected="increasing",
                within=((WAY, Way.LEARNED),),
            ),
        ),
    ),
    figures=(
        eq.Curve(ERROR, WAY),
        eq.LearningCurve("rotation_x_extent", color=WAY),
        eq.LearningCurve("loss", color=WAY),
    ),
    scales={
        "local": eq.factorial(
            partial(trial, molecules=eq.QM7(train_size=200, test_size=300), width=32), WAY, seeds=range(5)
        ),
        "paper": eq.factorial(partial(trial, molecules=eq.QM9(), width=256, recipe=PAPER), WAY, seeds=range(3)),
    },
)
