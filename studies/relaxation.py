"""Does a broken symmetry help where data and network do not share it?

Source: Edixhoven, Lengyel and van Gemert (2023, arXiv:2308.11316) find that networks with broken equivariance relax it
where the data is less symmetric than the network, and then match or beat exact ones. Upright images need no invariance
to quarter turns.

Finding: with upright images, one pixel less is better than exact by 0.9 [0.4, 1.3] points on digits and 2.8 [1.3, 4.3]
on articles, and at unseen quarter turns worse by 30 [27, 33] and 54.5 [48.1, 60.9] points.

Cost: 6 minutes on two cores; articles 8.

    python -m equistudy run studies/relaxation.py    # embedded digits; --scale local: Fashion-MNIST, paper: CIFAR-10
"""

from enum import Enum
from functools import partial

import equistudy as eq

Net = Enum("Net", {"EXACT": "exact P4", "LESS": "P4, a pixel less", "PLAIN": "no group"})
P4, UPRIGHT, TURNED = eq.CyclicGroup(4), eq.NoAugmentation(), eq.RandomAction(eq.CyclicGroup(4))
NET, DATA = eq.Factor("network", tuple(Net)), eq.Factor("data", (UPRIGHT, TURNED))
SEEN, TURNS = eq.Accuracy(), eq.AccuracyPerAngle(4)
UNSEEN = eq.Outcome(TURNS, None, ("90 deg", "180 deg", "270 deg"), name="Accuracy at other turns (the right reading)")
MIXED = eq.Outcome(TURNS, name="Accuracy at all four turns (published as unseen, wrong)")


def trial(network: Net, data: eq.Augmentation, seed: int, fashion: bool = False) -> eq.Trial:
    """Five convolutions of some 5,500 parameters, exact at 14 pixels."""
    size = 13 if network is Net.LESS else 14
    images = eq.FashionMNIST(size=size, train_size=3000, test_size=1500) if fashion else eq.Digits(size, size - 4)
    model = eq.GroupCNN(12, None, 5, True, 0) if network is Net.PLAIN else eq.GroupCNN(6, P4, 5, True, 0)
    recipe = eq.Recipe(8, 50, eq.AdamW(0.02, 1e-5))
    return eq.Trial(model, images, eq.Classification(), data, recipe, seed)


def paper_trial(network: Net, data: eq.Augmentation, seed: int) -> eq.Trial:
    """ResNet-44 on CIFAR-10, exact at 33 pixels, not at the original 32."""
    model = eq.PreactivationResNet(44, 32) if network is Net.PLAIN else eq.PreactivationResNet(44, 16, P4)
    images, recipe = eq.CIFAR10(size=33 - (network is Net.LESS)), eq.Recipe(200, 256, eq.AdamW(1e-3, 1e-5))
    return eq.Trial(model, images, eq.Classification(), eq.Chain((eq.RandomCrop(), data)), recipe, seed)


def less(what: eq.Quantity, than: Net, expected: str, margin: float, data: eq.Augmentation) -> eq.Contrast:
    """What the network with a pixel less has more than another."""
    return eq.Contrast(what, NET, Net.LESS, than, expected=expected, margin=margin, within=((DATA, data),))


CLAIMS = {
    "Upright: a pixel less is better than exact": less(SEEN, Net.EXACT, "increasing", 0, UPRIGHT),
    "Upright: and within 2 points of no group": less(SEEN, Net.PLAIN, "unchanged", 0.02, UPRIGHT),
    "Upright: at unseen turns exact is better": less(UNSEEN, Net.EXACT, "decreasing", 0, UPRIGHT),
    "Turned: a pixel less is within 2 points of exact": less(SEEN, Net.EXACT, "unchanged", 0.02, TURNED),
}
study = eq.Study(
    question="Does a broken symmetry help where data and network do not share it?",
    design=eq.factorial(trial, NET, DATA, seeds=range(10)),
    measures=(SEEN, TURNS),
    claims=tuple(eq.Claim(*claim) for claim in CLAIMS.items()),
    figures=tuple(eq.Curve(what, DATA, NET) for what in (SEEN, UNSEEN, MIXED)),
    scales={
        "local": eq.factorial(partial(trial, fashion=True), NET, DATA, seeds=range(5)),
        "paper": eq.factorial(paper_trial, NET, DATA, seeds=range(5)),
    },
)
