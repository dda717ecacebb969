"""How many CPU minutes does a network for small images take to learn Fashion-MNIST well?

Source: ResNet-20 of He et al. (2016, arXiv:1512.03385) with 0.27 million parameters and one cycle of the learning rate
(Smith and Topin 2018, arXiv:1708.07120), on flipped and shifted images, with a bfloat16 forward pass.

Finding: on Fashion-MNIST, test accuracy is 92.73 % [92.48, 92.98] over 3 seeds.

Cost: 56 minutes on two cores for Fashion-MNIST.

    python -m equistudy run studies/fashion_mnist.py                  # embedded digits, to test the pipeline
    python -m equistudy run studies/fashion_mnist.py --scale local    # all of Fashion-MNIST from data/fashion-mnist
"""

from functools import partial

import equistudy as eq

ACCURACY = eq.Accuracy()
DIGITS, ARTICLES = eq.Factor("dataset", (eq.Digits(),)), eq.Factor("dataset", (eq.FashionMNIST(),))
MIRRORED_AND_SHIFTED = eq.Chain((eq.HorizontalFlip(), eq.RandomCrop(padding=2)))


def trial(dataset: eq.Dataset, seed: int, epochs: int = 12) -> eq.Trial:
    """SGD with Nesterov's momentum, its learning rate up to 0.1 and down to 0 within the epochs."""
    recipe = eq.Recipe(
        epochs=epochs,
        batch_size=128,
        optimiser=eq.SGD(learning_rate=0.1, weight_decay=5e-4),
        schedule=eq.OneCycle(peak=0.3),
        label_smoothing=0.1,
        precision=eq.Precision.BFLOAT16,
    )
    return eq.Trial(eq.ResNet(depth=20, width=16), dataset, eq.Classification(), MIRRORED_AND_SHIFTED, recipe, seed)


study = eq.Study(
    question="How many CPU minutes does a network for small images take to learn Fashion-MNIST well?",
    design=eq.factorial(trial, DIGITS, seeds=range(3)),
    measures=(ACCURACY,),
    claims=(eq.Claim("The test accuracy is at least 92 %", eq.Value(ACCURACY, than=0.92, expected="increasing")),),
    figures=(eq.LearningCurve("accuracy"), eq.LearningCurve("loss")),
    scales={"local": eq.factorial(partial(trial, epochs=6), ARTICLES, seeds=range(3))},
)
