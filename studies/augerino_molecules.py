"""Does a network for molecules gain from learning that energies do not depend on turns?

Source: Benton et al. (2020, arXiv:2010.11882) find on QM9 that it does, with errors near those of augmentation by all
rigid motions. Here the network sees differences of positions. The baselines are no augmentation, all rotations with as
many copies, and a network that sees only distances.

Finding: on QM7, over 3 seeds, all rotations are learned without a gain: the error in kcal/mol is 0.94 [-0.69, 2.56]
above that without augmentation and 0.27 [-0.40, 0.93] above that with all rotations, both undecided.

Cost: 14 minutes on two cores for QM7.

    python -m equistudy run studies/augerino_molecules.py                  # generated points and their mean distance
    python -m equistudy run studies/augerino_molecules.py --scale local    # atomisation energies of QM7 from data/qm7
"""

from enum import Enum
from functools import partial

import equistudy as eq

Way = Enum("Way", {"NONE": "none", "FIXED": "all turns", "LEARNED": "learned", "HANDMADE": "distances"})
WAY = eq.Factor("way", tuple(Way))
ERROR = eq.Outcome(eq.Score("test_mae"), name="Mean absolute error")
EXTENTS = [eq.Score(f"train_{generator.name}_extent_tail") for generator in eq.SO3]
AUGMENTATIONS = {
    Way.FIXED: eq.FixedAugmentation(tuple(generator.with_start(180.0) for generator in eq.SO3), test_copies=8),
    Way.LEARNED: eq.LearnedAugmentation(eq.SO3, eq.NormRegulariser(0.05), learning_rate=0.1, test_copies=8),
}


def trial(way: Way, seed: int, molecules: eq.Dataset | None = None, width: int = 16, epochs: int = 15) -> eq.Trial:
    """Two small networks with sums between them, on 600 sets of points."""
    points = eq.PointClouds(train_size=600, test_size=300) if molecules is None else molecules
    model = eq.PointNetwork(width, eq.PairFeatures.DISTANCES if way is Way.HANDMADE else eq.PairFeatures.DIFFERENCES)
    recipe = eq.Recipe(epochs, 30, eq.AdamW(0.01, 0.0))
    return eq.Trial(model, points, eq.Molecules(), AUGMENTATIONS.get(way, eq.NoAugmentation()), recipe, seed)


study = eq.Study(
    question="Does a network for molecules gain from learning that energies do not depend on turns?",
    design=eq.factorial(trial, WAY, seeds=range(3)),
    measures=(),
    claims=(
        eq.Claim("Learned beats none", eq.Contrast(ERROR, WAY, Way.LEARNED, Way.NONE, expected="decreasing")),
        eq.Claim("Learned beats all turns", eq.Contrast(ERROR, WAY, Way.LEARNED, Way.FIXED, expected="decreasing")),
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
    figures=(eq.Curve(ERROR, WAY), eq.LearningCurve("rotation_x_extent", color=WAY)),
    scales={
        "local": eq.factorial(
            partial(trial, molecules=eq.QM7(train_size=2000, test_size=500), width=32, epochs=30), WAY, seeds=range(3)
        ),
        "paper": eq.factorial(partial(trial, molecules=eq.QM9(), width=256, epochs=500), WAY, seeds=range(3)),
    },
)
