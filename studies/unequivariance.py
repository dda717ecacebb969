"""Can one group convolution learn to tell an image from the same image turned?

Source: Edixhoven, Lengyel and van Gemert (2023, arXiv:2308.11316) train a P4 convolution with 14 weights on two images,
an icon and its quarter turn. With the mean over positions, the maximum over the four orientations and a linear layer it
is exactly invariant and cannot go below a cross-entropy of ln 2 = 0.693, unless subsampling drops a row. Here with an F
of 1-pixel strokes, all controls that drop nothing, and a smooth spot.

Finding: not among the kept results; run the study to see the verdicts.

Cost: not among the kept results.

    python -m equistudy run studies/unequivariance.py
"""

import math

import equistudy as eq

LOSS = eq.Score("test_loss")
STRIDED = eq.SingleConvolution(kernel_size=3, stride=2)
EVEN, UNSTRIDED = eq.SingleConvolution(kernel_size=4, stride=2), eq.SingleConvolution(kernel_size=3, stride=1)
LAYER = eq.Factor("layer", levels=(STRIDED, EVEN, UNSTRIDED))
LETTER, LARGER, SPOT = eq.TurnedPair(), eq.TurnedPair(size=33), eq.TurnedPair(eq.Picture.BLOB)
IMAGES = eq.Factor("images", levels=(LETTER, LARGER, SPOT))


def trial(layer: eq.Model, images: eq.Dataset, seed: int) -> eq.Trial:
    """800 steps on two images of 32 pixels, or 33."""
    sgd = eq.SGD(learning_rate=0.01, weight_decay=0, nesterov=False)
    recipe = eq.Recipe(epochs=800, batch_size=2, optimiser=sgd, schedule=eq.Constant())
    return eq.Trial(layer, images, eq.Classification(), eq.NoAugmentation(), recipe, seed)


def at_chance(statement: str, images: eq.Dataset, layer: eq.Model) -> eq.Claim:
    """The claim that the loss stays ln 2."""
    within = ((IMAGES, images), (LAYER, layer))
    return eq.Claim(statement, eq.Value(LOSS, than=math.log(2), expected="unchanged", margin=1e-3, within=within))


study = eq.Study(
    question="Can one group convolution learn to tell an image from the same image turned?",
    design=eq.factorial(trial, LAYER, IMAGES, seeds=range(5)),
    measures=(eq.Accuracy(),),
    claims=(
        eq.Claim(
            "A 3 x 3 convolution with stride 2 on 32 pixels drops a row and learns to tell them apart",
            eq.Value(LOSS, than=0.05, expected="decreasing", within=((IMAGES, LETTER), (LAYER, STRIDED))),
        ),
        at_chance("On 33 pixels it drops nothing and cannot", LARGER, STRIDED),
        at_chance("A 4 x 4 convolution on 32 pixels cannot", LETTER, EVEN),
        at_chance("Without a stride it cannot", LETTER, UNSTRIDED),
        at_chance("A smooth spot gives the dropped row nothing to learn from", SPOT, STRIDED),
    ),
    figures=(eq.Curve(y=LOSS, x=IMAGES, color=LAYER),),
)
