"""Do smaller networks learn more translation-equivariant features where all fit their data alike?

Source: Bruintjes, Motyka and van Gemert (2023, arXiv:2304.02628) find that lower capacity raises the learned
translation equivariance. After equally many epochs a wider network has also fitted its images more closely; here all
networks train until their loss is the same, with a constant learning rate, and the averaged weights are measured.

Finding: 40 networks on digits: -0.001 [-0.023, 0.022] per doubling of width, undecided; crop +0.115 [0.108, 0.122].
Because training stops after whole epochs, wide networks end at a slightly lower loss, by 0.023 [0.018, 0.028] per
doubling of width.

Cost: 6 minutes on two cores.

    python -m equistudy run studies/matched_capacity.py                  # embedded digits
    python -m equistudy run studies/matched_capacity.py --scale local    # Fashion-MNIST from data/fashion-mnist
"""

import equistudy as eq

SHIFTS = eq.Translation(max_pixels=4)
ACCURACY, WITHIN, BETWEEN = eq.Accuracy(), eq.WithinCorrelation(SHIFTS), eq.BetweenCorrelation(SHIFTS)
FIT, EPOCHS = eq.Score("train_loss"), eq.Score("epochs")
DIGITS, SOME = eq.Digits(), eq.FashionMNIST(train_size=3_000, test_size=1_000)
WIDTH = eq.Factor("width", levels=(2, 4, 8, 16), unit="channels", log=True)
NONE, CROP = eq.NoAugmentation(), eq.RandomCrop(padding=4)
AUGMENTATION = eq.Factor("augmentation", levels=(NONE, CROP))
ARTICLES = eq.Factor("dataset", (SOME,))


def trial(width: int, augmentation: eq.Augmentation, seed: int, dataset: eq.Dataset = DIGITS) -> eq.Trial:
    """A small residual network, trained until its mean loss over an epoch is 0.3, on articles 0.6."""
    loss = 0.3 if dataset == DIGITS else 0.6
    recipe = eq.Recipe(60, 64, eq.SGD(0.02), eq.Constant(), average=0.98, stop_loss=loss)
    return eq.Trial(eq.ResNet(8, width), dataset, eq.Classification(), augmentation, recipe, seed)


WIDER = eq.Trend(WITHIN, over=WIDTH, expected="decreasing")
CROPPED = eq.Contrast(WITHIN, factor=AUGMENTATION, level=CROP, baseline=NONE, expected="increasing")
ALIKE = eq.Trend(FIT, over=WIDTH, expected="unchanged", margin=0.03)
study = eq.Study(
    question="Do smaller networks learn more translation-equivariant features where all fit their data alike?",
    design=eq.factorial(trial, WIDTH, AUGMENTATION, seeds=range(5)),
    measures=(ACCURACY, WITHIN, BETWEEN),
    claims=(
        eq.Claim("Lower capacity raises learned translation equivariance", WIDER),
        eq.Claim("Crop augmentation raises learned translation equivariance", CROPPED),
        eq.Claim("All fit their data alike, within 0.03 of the loss per doubling of width", ALIKE),
    ),
    figures=(
        *(eq.Curve(y=what, x=WIDTH, color=AUGMENTATION) for what in (WITHIN, FIT, ACCURACY, EPOCHS)),
        eq.LayerProfile(y=WITHIN, color=WIDTH),
    ),
    scales={"local": eq.factorial(trial, WIDTH, AUGMENTATION, ARTICLES, seeds=range(5))},
)
