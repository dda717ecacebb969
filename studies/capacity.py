"""Do smaller networks learn more translation-equivariant features?

Bruintjes, Motyka and van Gemert (2023, arXiv:2304.02628) find that lower capacity and data augmentation raise the
learned translation equivariance of image classifiers.

    python -m equistudy run studies/capacity.py                  # embedded digits, minutes on a laptop; all: 5 seeds
    python -m equistudy run studies/capacity.py --scale local    # Fashion-MNIST from data/fashion-mnist; full: on a GPU
    python -m equistudy run studies/capacity.py --scale paper    # CIFAR-10 from data/cifar10
"""

from functools import partial

import equistudy as eq

SHIFTS = eq.Translation(max_pixels=4)
ACCURACY, WITHIN, BETWEEN = eq.Accuracy(), eq.WithinCorrelation(SHIFTS), eq.BetweenCorrelation(SHIFTS)
DIGITS = eq.Digits()
ARTICLES = eq.Factor("dataset", (eq.FashionMNIST(train_size=3_000, test_size=1_000),))
NONE, CROP = eq.NoAugmentation(), eq.RandomCrop(padding=4)
WIDTH = eq.Factor("width", levels=(2, 4, 8, 16), unit="channels", log=True)
AUGMENTATION = eq.Factor("augmentation", levels=(NONE, CROP))


def trial(width: int, augmentation: eq.Augmentation, seed: int, dataset: eq.Dataset = DIGITS) -> eq.Trial:
    """A small residual network."""
    recipe = eq.Recipe(epochs=8, batch_size=64)
    return eq.Trial(eq.ResNet(8, width), dataset, eq.Classification(), augmentation, recipe, seed)


def large_trial(width: int, augmentation: eq.Augmentation, seed: int, dataset: eq.Dataset, epochs: int) -> eq.Trial:
    """ResNet-20."""
    recipe = eq.Recipe(epochs, schedule=eq.Cosine())
    return eq.Trial(eq.ResNet(20, width), dataset, eq.Classification(), augmentation, recipe, seed)


full_trial = partial(large_trial, dataset=eq.FashionMNIST(test_size=1_000), epochs=6)
paper_trial = partial(large_trial, dataset=eq.CIFAR10(), epochs=200)


study = eq.Study(
    question="Do smaller networks learn more translation-equivariant features?",
    design=eq.factorial(trial, WIDTH, AUGMENTATION, seeds=range(3)),
    measures=(ACCURACY, WITHIN, BETWEEN),
    claims=(
        eq.Claim(
            "Lower capacity raises learned translation equivariance",
            eq.Trend(WITHIN, over=WIDTH, expected="decreasing"),
        ),
        eq.Claim(
            "Crop augmentation raises learned translation equivariance",
            eq.Contrast(WITHIN, factor=AUGMENTATION, level=CROP, baseline=NONE, expected="increasing"),
        ),
    ),
    figures=(
        eq.Curve(y=WITHIN, x=WIDTH, color=AUGMENTATION),
        eq.LayerProfile(y=WITHIN, color=WIDTH),
        eq.LayerProfile(y=BETWEEN, color=AUGMENTATION),
        eq.Curve(y=ACCURACY, x=WIDTH, color=AUGMENTATION),
    ),
    scales={
        "all": eq.factorial(trial, WIDTH, AUGMENTATION, seeds=range(5)),
        "local": eq.factorial(trial, WIDTH, AUGMENTATION, ARTICLES, seeds=range(5)),
        "full": eq.factorial(full_trial, WIDTH, AUGMENTATION, seeds=range(5)),
        "paper": eq.factorial(paper_trial, WIDTH, AUGMENTATION, seeds=range(5)),
    },
)
