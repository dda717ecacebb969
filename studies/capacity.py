"""Do smaller networks learn more translation-equivariant features?

Source: Bruintjes, Motyka and van Gemert (2023, arXiv:2304.02628) find that lower capacity and data augmentation raise
the learned translation equivariance of image classifiers. Learned equivariance is what training adds to that of the
untrained network, and a claim must hold in every cell of the design.

Finding: crop augmentation raises it, and width has no clear effect. Over 5 seeds, the weakest cell changes per doubling
of width by 0.003 [-0.014, 0.019] on digits, -0.008 [-0.026, 0.011] on 3,000 Fashion-MNIST images, and -0.002 [-0.030,
0.027] with ResNet-20 on all of them. Crops add at least 0.103 [0.074, 0.132] on digits and 0.078 [0.062, 0.094] with
ResNet-20; 0.036 [-0.003, 0.074] on 3,000 images is undecided.

Cost: 3 minutes on two cores with 3 seeds and 5 minutes with 5 seeds; 3,000 Fashion-MNIST images take 8 minutes.

    python -m equistudy run studies/capacity.py    # embedded digits; --scale all: 5 seeds
    --scale local: 3,000 images of data/fashion-mnist; full: all of them, for a GPU; paper: CIFAR-10
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
SMALL, LARGE = eq.Recipe(epochs=8, batch_size=64), partial(eq.Recipe, schedule=eq.Cosine())


def trial(
    width: int, augmentation: eq.Augmentation, seed: int, dataset: eq.Dataset = DIGITS, recipe: eq.Recipe = SMALL
) -> eq.Trial:
    """A small residual network; the paper's ResNet-20 for the large recipe."""
    model = eq.ResNet(8 if recipe == SMALL else 20, width)
    return eq.Trial(model, dataset, eq.Classification(), augmentation, recipe, seed)


full_trial = partial(trial, dataset=eq.FashionMNIST(test_size=1_000), recipe=LARGE(6))
paper_trial = partial(trial, dataset=eq.CIFAR10(), recipe=LARGE(200))
WIDER = eq.Trend(WITHIN, over=WIDTH, expected="decreasing")
CROPPED = eq.Contrast(WITHIN, factor=AUGMENTATION, level=CROP, baseline=NONE, expected="increasing")
study = eq.Study(
    question="Do smaller networks learn more translation-equivariant features?",
    design=eq.factorial(trial, WIDTH, AUGMENTATION, seeds=range(3)),
    measures=(ACCURACY, WITHIN, BETWEEN),
    claims=(
        eq.Claim("Lower capacity raises learned translation equivariance", WIDER),
        eq.Claim("Crop augmentation raises learned translation equivariance", CROPPED),
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
