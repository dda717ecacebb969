"""Do networks that see more images learn more translation equivariance?

Source: Bruintjes, Motyka and van Gemert (2023, arXiv:2304.02628) ask how capacity and data affect learned equivariance.
Here the capacity is fixed and the number of training images varies. All networks take the same number of steps, so that
those with few images see each image more often and are not undertrained.

Finding: 15 networks each, per doubling of the images: last map +0.046 [0.026, 0.065] on digits and +0.070 [0.059,
0.081] on articles, logits +0.071 [0.033, 0.108] and +0.033 [0.030, 0.036].

Cost: 1 minute on two cores; articles 6.

    python -m equistudy run studies/data_size.py                  # embedded digits
    python -m equistudy run studies/data_size.py --scale local    # Fashion-MNIST from data/fashion-mnist
"""

import equistudy as eq

SHIFTS = eq.Translation(max_pixels=2)
ACCURACY, WITHIN, BETWEEN = eq.Accuracy(), eq.WithinCorrelation(SHIFTS), eq.BetweenCorrelation(SHIFTS)
MAP, LOGITS = eq.Outcome(WITHIN, stages=("stage3",)), eq.Outcome(BETWEEN, stages=("logits",))
IMAGES = eq.Factor("images", levels=(120, 400, 1200), unit="training images", log=True)
ARTICLES = eq.Factor("images", levels=(1_000, 3_000, 10_000), unit="training images", log=True)


def trial(images: int, seed: int) -> eq.Trial:
    """A small residual network on some of the digits, with the steps of 10 epochs of all."""
    recipe = eq.Recipe(epochs=12_000 // images, batch_size=min(64, images // 2))
    return eq.Trial(
        eq.ResNet(8, 4), eq.Digits(train_size=images), eq.Classification(), eq.NoAugmentation(), recipe, seed
    )


def article_trial(images: int, seed: int) -> eq.Trial:
    """The same on some of Fashion-MNIST, with the steps of 5 epochs of the most."""
    data, recipe = (
        eq.FashionMNIST(train_size=images, test_size=2_000),
        eq.Recipe(epochs=50_000 // images, batch_size=64),
    )
    return eq.Trial(eq.ResNet(8, 8), data, eq.Classification(), eq.NoAugmentation(), recipe, seed)


study = eq.Study(
    question="Do networks that see more images learn more translation equivariance?",
    design=eq.factorial(trial, IMAGES, seeds=range(5)),
    measures=(ACCURACY, WITHIN, BETWEEN),
    claims=(
        eq.Claim("More images raise the last map's equivariance", eq.Trend(MAP, IMAGES, expected="increasing")),
        eq.Claim("More images raise the logits' invariance", eq.Trend(LOGITS, IMAGES, expected="increasing")),
    ),
    figures=(*(eq.Curve(y, IMAGES) for y in (MAP, LOGITS, ACCURACY)), eq.LayerProfile(WITHIN, IMAGES)),
    scales={"local": eq.factorial(article_trial, ARTICLES, seeds=range(5))},
)
