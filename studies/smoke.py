"""Does the whole pipeline work here?

Source: none; four networks of a few hundred weights, trained for two epochs, test the installation.

Finding: none, by design.

Cost: under 1 minute on two cores.

    python -m equistudy run studies/smoke.py
"""

import equistudy as eq

ACCURACY, WITHIN = eq.Accuracy(), eq.WithinCorrelation(eq.Translation(max_pixels=2))
WIDTH = eq.Factor("width", levels=(2, 4), unit="channels", log=True)


def trial(width: int, seed: int) -> eq.Trial:
    """A tiny residual network on a few digits."""
    digits, recipe = eq.Digits(train_size=240), eq.Recipe(epochs=2, batch_size=32)
    return eq.Trial(eq.ResNet(8, width), digits, eq.Classification(), eq.NoAugmentation(), recipe, seed)


study = eq.Study(
    question="Does the whole pipeline work here?",
    design=eq.factorial(trial, WIDTH, seeds=range(2)),
    measures=(ACCURACY, WITHIN),
    claims=(eq.Claim("Wider networks learn faster", eq.Trend(ACCURACY, over=WIDTH, expected="increasing")),),
    figures=(eq.Curve(y=ACCURACY, x=WIDTH), eq.LayerProfile(y=WITHIN, color=WIDTH)),
)
