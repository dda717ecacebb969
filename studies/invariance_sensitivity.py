"""When does what is learned about an augmentation depend on the regulariser's weight and on the start?

Source: Benton et al. (2020, arXiv:2010.11882) learn ranges of rotation with several weights lambda of the regulariser.
The half-extent at which training should end follows from the smallest possible loss (the oracle).

Finding: 40 networks, 5 seeds. With lambda 0.05 the half-extent ends 1.3 [0.2, 2.4] degrees below the oracle; from a
wide start it returns to 47.2 [46.0, 48.3] degrees, from a wider one it ends at 180. Without lambda it shrinks to 4.74
[4.17, 5.32]. At lambda 0.3 nothing holds it: it reaches 164 [125, 203] degrees, and most of these networks do not
train.

Cost: 4 minutes on two cores.

    python -m equistudy run studies/invariance_sensitivity.py                  # 40 networks, through one middle cell
    python -m equistudy run studies/invariance_sensitivity.py --scale all      # 100, every weight from every start
    python -m equistudy run studies/invariance_sensitivity.py --scale paper    # those at the paper's size, for GPUs
"""

import equistudy as eq

ACCURACY = eq.Accuracy()
LEARNED = eq.Outcome(eq.Score("train_rotation_extent_tail"), name="learned half-extent (deg)")
EXCESS = eq.Outcome(eq.Score("train_rotation_extent_excess"), name="learned minus the oracle's half-extent (deg)")
WEIGHT = eq.Factor("weight", levels=(0.0, 0.01, 0.05, 0.1, 0.3), unit="lambda")
START = eq.Factor("start", levels=(3.0, 9.0, 87.0, 172.0), unit="deg")
ONE_WEIGHT, ONE_START = eq.Factor("weight", (0.05,)), eq.Factor("start", (9.0,))


def trial(weight: float, start: float, seed: int, size: int = 16, train_size: int = 1920) -> eq.Trial:
    """300 steps on sprites whose labels allow 45 degrees."""
    rotation = (eq.RotationGenerator(start=start),)
    augmentation = eq.LearnedAugmentation(rotation, eq.NormRegulariser(weight), learning_rate=0.04)
    recipe = eq.Recipe(epochs=15, batch_size=96, optimiser=eq.AdamW(0.01, 0.0), schedule=eq.Constant())
    data = eq.Sprites(2, 45.0, size, train_size, train_size // 4)
    return eq.Trial(eq.ResNet(8, size // 4), data, eq.Classification(), augmentation, recipe, seed)


def paper_trial(weight: float, start: float, seed: int) -> eq.Trial:
    """1,570 steps on sprites of 32 pixels."""
    return trial(weight, start, seed, size=32, train_size=10_000)


def at(weight: float, start: float) -> tuple[tuple[eq.Factor, float], ...]:
    """One cell of the design."""
    return (WEIGHT, weight), (START, start)


EVERY = eq.factorial(trial, WEIGHT, START, seeds=range(5))
CROSS = eq.factorial(trial, WEIGHT, ONE_START, seeds=range(5)) + eq.factorial(trial, ONE_WEIGHT, START, seeds=range(5))
study = eq.Study(
    question="When does what is learned about an augmentation depend on the regulariser's weight and on the start?",
    design=CROSS,
    measures=(ACCURACY,),
    claims=(
        eq.Claim("It ends at the oracle", eq.Value(EXCESS, expected="unchanged", margin=5.0, within=at(0.05, 9.0))),
        eq.Claim("Without one it shrinks", eq.Value(LEARNED, than=9.0, expected="decreasing", within=at(0.0, 9.0))),
        eq.Claim("Nothing holds it at 0.3", eq.Value(LEARNED, than=90.0, expected="increasing", within=at(0.3, 9.0))),
        eq.Claim("A wide start returns", eq.Value(LEARNED, than=60.0, expected="decreasing", within=at(0.05, 87.0))),
        eq.Claim("A wider one escapes", eq.Value(LEARNED, than=150.0, expected="increasing", within=at(0.05, 172.0))),
    ),
    figures=(
        *(eq.Curve(y=what, x=WEIGHT, color=START) for what in (LEARNED, ACCURACY)),
        eq.LearningCurve("rotation_extent", color=START),
    ),
    scales={"all": EVERY, "paper": eq.factorial(paper_trial, WEIGHT, START, seeds=range(5))},
)
