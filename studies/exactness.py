"""Does one pixel of input size decide whether a network generalises to turned images?

Source: Edixhoven, Lengyel and van Gemert (2023, arXiv:2308.11316) find that P4 networks whose subsampling drops pixels
break their equivariance, and generalise worse to unseen rotations than exact ones.

Finding: the exact network loses 0.00 points of accuracy at unseen quarter turns. One pixel less opens a gap of 36 [31,
40] points on MNIST and, with another head, 23 [19, 28] on digits; without a group it is 39 [35, 43] and 55 [50, 59]
points wider still.

Cost: 20 minutes on two cores; MNIST 20.

    python -m equistudy run studies/exactness.py    # embedded digits; --scale local: MNIST at 14 pixels, paper: at 28
"""

from enum import Enum
from functools import partial

import equistudy as eq

Net = Enum("Net", {"EXACT": "exact P4", "LESS": "P4, a pixel less", "MORE": "P4, a pixel more", "PLAIN": "no group"})
P4 = eq.CyclicGroup(4)
UP, NEAR, WIDE, ANY = eq.NoAugmentation(), eq.NormalRotation(), eq.NormalRotation(45, 40), eq.RandomRotation(180)
NET, REGIME = eq.Factor("network", tuple(Net)), eq.Factor("regime", (UP, NEAR, WIDE, ANY))
SEEN, TURNED = eq.Accuracy(), eq.AccuracyPerAngle()
GAP = eq.Outcome(eq.seen_minus_unseen(TURNED, ("90 deg", "180 deg", "270 deg")), name="Seen minus unseen turns: gap")
MODE = eq.Outcome(TURNED, elements=("40 deg", "50 deg"), name="Accuracy at 40 and 50 degrees")


def trial(network: Net, regime: eq.Augmentation, seed: int, pixels: int = 14, images: int | None = None) -> eq.Trial:
    """Five convolutions of some 5,500 parameters; P4CNN and Z2CNN at 28 pixels. Exact at even sizes."""
    paper = pixels == 28
    size = pixels + {Net.MORE: 1, Net.LESS: -1}.get(network, 0)
    if network is Net.PLAIN:
        model = eq.GroupCNN(20, None) if paper else eq.GroupCNN(12, None, 5, True, 0)
    else:
        model = eq.GroupCNN(10, P4) if paper else eq.GroupCNN(6, P4, 5, True, 0)
    data = eq.MNIST(size=size, train_size=images, test_size=images // 2) if images else eq.Digits(size, size - 4)
    recipe = eq.Recipe(50, 256, eq.AdamW(0.01, 1e-5)) if paper else eq.Recipe(8, 50, eq.AdamW(0.02, 1e-5))
    return eq.Trial(model, data, eq.Classification(), regime, recipe, seed)


def more(net: Net, than: Net, what: eq.Quantity, regime: eq.Augmentation, margin: float = 0) -> eq.Contrast:
    """One network has more than another, by more than the margin, when trained in a regime."""
    return eq.Contrast(what, NET, net, than, expected="increasing", margin=margin, within=((REGIME, regime),))


CLAIMS = {
    "Upright, exact: no gap": eq.Value(GAP, expected="unchanged", margin=1e-4, within=((REGIME, UP), (NET, Net.EXACT))),
    "Upright: a pixel less opens a gap of over 10 points": more(Net.LESS, Net.EXACT, GAP, UP, 0.1),
    "Upright: without a group it is 10 points wider still": more(Net.PLAIN, Net.LESS, GAP, UP, 0.1),
    "Upright: at the seen turn a pixel less is better than exact": more(Net.LESS, Net.EXACT, SEEN, UP),
    "N(45, 20): exact is 10 points better over all angles": more(Net.EXACT, Net.LESS, TURNED, NEAR, 0.1),
    "N(45, 20): a pixel less is 10 points better than no group": more(Net.LESS, Net.PLAIN, TURNED, NEAR, 0.1),
    "N(45, 20): near the mode a pixel less is better than exact": more(Net.LESS, Net.EXACT, MODE, NEAR),
    "N(45, 40): exact is 3 points better over all angles": more(Net.EXACT, Net.LESS, TURNED, WIDE, 0.03),
    "Uniform, over 36 angles (the right reading): exact is better": more(Net.EXACT, Net.LESS, TURNED, ANY),
    "Uniform, at 0 degrees (the published reading, wrong): exact is better": more(Net.EXACT, Net.LESS, SEEN, ANY),
    "Uniform: a pixel less is 4 points better than no group": more(Net.LESS, Net.PLAIN, TURNED, ANY, 0.04),
}
study = eq.Study(
    question="Does one pixel of input size decide whether a network generalises to turned images?",
    design=eq.factorial(trial, NET, REGIME, seeds=range(10)),
    measures=(SEEN, TURNED),
    claims=tuple(eq.Claim(*claim) for claim in CLAIMS.items()),
    figures=(eq.AngleCurve(TURNED, NET, REGIME), eq.Curve(GAP, REGIME, NET), eq.Curve(SEEN, REGIME, NET)),
    scales={
        "local": eq.factorial(partial(trial, images=3000), NET, REGIME, seeds=range(5)),
        "paper": eq.factorial(partial(trial, pixels=28, images=8000), NET, REGIME, seeds=range(10)),
    },
)
