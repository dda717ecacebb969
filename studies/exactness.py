"""Does one pixel of input size decide whether a network generalises to turned images?

Edixhoven, Lengyel and van Gemert (2023, arXiv:2308.11316): a P4 network whose subsampling fits the image treats turned
images alike; one pixel off it learns orientation. Their table of uniform training shows 0 degrees for all angles.
Of the same networks trained apart from this study, upright, 5 seeds: gaps of 0.0, 27.3 +- 5.3 and 77.8 +- 2.8 points.

    python -m equistudy run studies/exactness.py    # embedded digits; --scale local: MNIST at 14 pixels, paper: at 28
"""

from enum import Enum
from functools import partial

import equistudy as eq

Net = Enum("Net", {"EXACT": "exact P4", "OFF": "P4, one pixel off", "PLAIN": "no group"})
UP, NEAR, WIDE, ANY = eq.NoAugmentation(), eq.NormalRotation(), eq.NormalRotation(45, 40), eq.RandomRotation(180)
NET, REGIME = eq.Factor("network", tuple(Net)), eq.Factor("regime", (UP, NEAR, WIDE, ANY))
ACCURACY, TURNED = eq.Accuracy(), eq.AccuracyUnder(eq.Rotation(degrees=tuple(range(30, 360, 30))))
GAP, ALL = eq.seen_minus_unseen(TURNED, ("90 deg", "180 deg", "270 deg")), eq.orbit_mean(TURNED)
MODE = eq.Outcome(TURNED, elements=("30 deg", "60 deg"), name="Accuracy at 30 and 60 degrees")


def trial(network: Net, regime: eq.Augmentation, seed: int, pixels: int = 14, images: int | None = None) -> eq.Trial:
    """Five convolutions of some 5,500 parameters; P4CNN and Z2CNN at 28 pixels. Exact at even sizes."""
    size, group = pixels - (network is Net.OFF), None if network is Net.PLAIN else eq.CyclicGroup(4)
    paper, width = pixels == 28, (20, 12) if group is None else (10, 6)
    model = eq.GroupCNN(width[0], group) if paper else eq.GroupCNN(width[1], group, 5, True, 0)
    data = eq.MNIST(size=size, train_size=images, test_size=images // 2) if images else eq.Digits(size, size - 4)
    recipe = eq.Recipe(50, 256, eq.AdamW(0.01, 1e-5)) if paper else eq.Recipe(8, 50, eq.AdamW(0.02, 1e-5))
    return eq.Trial(model, data, eq.Classification(), regime, recipe, seed)


def more(net: Net, than: Net, what: eq.Quantity, regime: eq.Augmentation, margin: float = 0) -> eq.Contrast:
    """One network has more than another, by more than the margin, when trained in a regime."""
    return eq.Contrast(what, NET, net, than, expected="increasing", margin=margin, within=((REGIME, regime),))


CLAIMS = {
    "Upright, exact: no gap": eq.Value(GAP, expected="unchanged", margin=1e-4, within=((REGIME, UP), (NET, Net.EXACT))),
    "Upright, off: > 10 points": eq.Value(GAP, than=0.1, expected="increasing", within=((REGIME, UP), (NET, Net.OFF))),
    "Upright: without a group it is wider still": more(Net.PLAIN, Net.OFF, GAP, UP, 0.1),
    "Upright: at the seen turn one pixel off is better than exact": more(Net.OFF, Net.EXACT, ACCURACY, UP),
    "N(45, 20): exact is better over all angles": more(Net.EXACT, Net.OFF, ALL, NEAR, 0.03),
    "N(45, 20): one pixel off is better than no group": more(Net.OFF, Net.PLAIN, ALL, NEAR, 0.03),
    "N(45, 20): near the mode one pixel off is better": more(Net.OFF, Net.EXACT, MODE, NEAR),
    "N(45, 40): exact is better over all angles": more(Net.EXACT, Net.OFF, ALL, WIDE),
    "Uniform, over all angles (the right reading): exact is better": more(Net.EXACT, Net.OFF, ALL, ANY),
    "Uniform, at 0 degrees (as published): exact is better": more(Net.EXACT, Net.OFF, ACCURACY, ANY),
}
study = eq.Study(
    question="Does one pixel of input size decide whether a network generalises to turned images?",
    design=eq.factorial(trial, NET, REGIME, seeds=range(5)),
    measures=(ACCURACY, TURNED),
    claims=tuple(eq.Claim(*claim) for claim in CLAIMS.items()),
    figures=(eq.Curve(GAP, REGIME, NET), eq.Curve(ACCURACY, REGIME, NET)),
    scales={
        "local": eq.factorial(partial(trial, images=3000), NET, REGIME, seeds=range(5)),
        "paper": eq.factorial(partial(trial, pixels=28, images=8000), NET, REGIME, seeds=range(10)),
    },
)
