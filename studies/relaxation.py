"""Does a broken symmetry help where data and network do not share it?

Edixhoven, Lengyel and van Gemert (2023, arXiv:2308.11316): images that are always upright need no invariance to
quarter turns, and orientation tells a 6 from a 9. A P4 network one pixel off its exact size relaxes the symmetry that
an exact one must keep, and matches or beats it at the turn that was seen, close to a network without a group. Where
the data are turned too, there is nothing to relax.

    python -m equistudy run studies/relaxation.py    # embedded digits; --scale local: Fashion-MNIST, paper: CIFAR-10
"""

from enum import Enum
from functools import partial

import equistudy as eq

Net = Enum("Net", {"EXACT": "exact P4", "OFF": "P4, one pixel off", "PLAIN": "no group"})
P4 = eq.CyclicGroup(4)
UPRIGHT, TURNED = eq.NoAugmentation(), eq.RandomAction(P4)
NET, DATA = eq.Factor("network", tuple(Net)), eq.Factor("data", (UPRIGHT, TURNED))
ACCURACY, UNSEEN = eq.Accuracy(), eq.AccuracyUnder(P4)
GAP = eq.seen_minus_unseen(UNSEEN)


def trial(network: Net, data: eq.Augmentation, seed: int, fashion: bool = False) -> eq.Trial:
    """Five convolutions of some 5,500 parameters, exact at 14 pixels."""
    size, (width, group) = 14 - (network is Net.OFF), (12, None) if network is Net.PLAIN else (6, P4)
    images = eq.FashionMNIST(size=size, train_size=3000, test_size=1500) if fashion else eq.Digits(size, size - 4)
    model, recipe = eq.GroupCNN(width, group, 5, True, 0), eq.Recipe(8, 50, eq.AdamW(0.02, 1e-5))
    return eq.Trial(model, images, eq.Classification(), data, recipe, seed)


def paper_trial(network: Net, data: eq.Augmentation, seed: int) -> eq.Trial:
    """ResNet-44 on CIFAR-10, exact at 33 pixels, not at the original 32."""
    model = eq.PreactivationResNet(44, 32) if network is Net.PLAIN else eq.PreactivationResNet(44, 16, P4)
    images, recipe = eq.CIFAR10(size=33 - (network is Net.OFF)), eq.Recipe(200, 256, eq.AdamW(1e-3, 1e-5))
    return eq.Trial(model, images, eq.Classification(), eq.Chain((eq.RandomCrop(), data)), recipe, seed)


def off(than: Net, expected: str, margin: float, data: eq.Augmentation) -> eq.Contrast:
    """What the network one pixel off has more than another."""
    return eq.Contrast(ACCURACY, NET, Net.OFF, than, expected=expected, margin=margin, within=((DATA, data),))


study = eq.Study(
    question="Does a broken symmetry help where data and network do not share it?",
    design=eq.factorial(trial, NET, DATA, seeds=range(5)),
    measures=(ACCURACY, UNSEEN),
    claims=(
        eq.Claim("Upright: one pixel off is better than exact", off(Net.EXACT, "increasing", 0, UPRIGHT)),
        eq.Claim("Upright: and within 2 points of no group", off(Net.PLAIN, "unchanged", 0.02, UPRIGHT)),
        eq.Claim("Turned: one pixel off is within 2 points of exact", off(Net.EXACT, "unchanged", 0.02, TURNED)),
    ),
    figures=(eq.Curve(ACCURACY, DATA, NET), eq.Curve(GAP, DATA, NET)),
    scales={
        "local": eq.factorial(partial(trial, fashion=True), NET, DATA, seeds=range(5)),
        "paper": eq.factorial(paper_trial, NET, DATA, seeds=range(5)),
    },
)
