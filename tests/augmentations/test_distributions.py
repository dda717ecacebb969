"""What each augmentation makes of an image is distributed as what an independent reference makes of it.

The references work on one image at a time with random numbers of their own: torchvision's transforms where they draw
from the same distribution, else its operations with numpy's draws, or loops.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import equistudy as eq
from equistudy.augmentations.augmentation import Augmentation
from equistudy.augmentations.rand_augment import Operation
from equistudy.spec import format_label
from tests.augmentations.reference import functional, v2
from tests.augmentations.test_rand_augment import reference as changed

SIZE, NUMBER, FORMS = 12, 500, 4
BILINEAR = functional.InterpolationMode.BILINEAR
BOX = (eq.RotationGenerator(start=40.0), eq.ScalingGenerator(start=0.3))
DATASET = eq.CIFAR10()  # for its mean and standard deviation


def probes():
    """The image that is looked at, and the one that it may be mixed with."""
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def affine(image, degrees=0.0, shift=(0.0, 0.0), log_factor=0.0, shear=0.0):
    """Counter-clockwise, to the right and down; torchvision turns clockwise, and shears by an angle to the left."""
    angles = [-math.degrees(math.atan(shear)), 0.0]
    return functional.affine(image, -degrees, list(shift), math.exp(log_factor), angles, interpolation=BILINEAR)


def masked(image, rng):
    row, column = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return image * torch.from_numpy(np.hypot(row, column) <= (SIZE - 1) / 2 + 1e-9)


def acted(image, rng):
    """An element of the dihedral group: a quarter turn, mirrored or not."""
    turned = torch.rot90(image, int(rng.integers(4)), (1, 2))
    return turned.flip(2) if rng.integers(2) else turned


def moved(image, rng):
    shift, log_factor = rng.uniform(-1.5, 1.5, 2), rng.uniform(-math.log(1.3), math.log(1.3))
    return affine(image, rng.uniform(-30, 30), shift, log_factor, rng.uniform(-0.2, 0.2))


def coloured(image, rng):
    brightness, contrast, saturation = rng.uniform(0.6, 1.4, 3)
    changed = functional.adjust_contrast(functional.adjust_brightness(image, brightness), contrast)
    return functional.adjust_hue(functional.adjust_saturation(changed, saturation), rng.uniform(-0.1, 0.1))


def cut(image, rng):
    """As the authors' code: a square about a pixel, cut off at the border."""
    mask = np.ones((SIZE, SIZE))
    y, x = rng.integers(SIZE, size=2)
    mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = 0
    return image * torch.from_numpy(mask)


def policy(image, rng):
    for _ in range(2):
        image = changed(image, Operation(int(rng.integers(14))), int(rng.choice((-1, 1))), 20.0)
    return image


def cropped(image, rng):
    return v2.RandomCrop(SIZE, padding=2)(image)


def partner(image, rng):
    return image if rng.integers(2) else probes()[1]


def mixed(image, rng):
    weight = rng.beta(0.4, 0.4)
    return weight * cropped(image, rng) + (1 - weight) * cropped(partner(image, rng), rng)


def patched(image, rng):
    """As the authors' rand_bbox."""
    result, side = image.clone(), int(SIZE * math.sqrt(1 - rng.beta(1.0, 1.0)))
    y, x = rng.integers(SIZE, size=2) - side // 2
    here = (slice(None), slice(max(y, 0), max(y + side, 0)), slice(max(x, 0), max(x + side, 0)))
    result[here] = partner(image, rng)[here]
    return result


def boxed(image, rng):
    return affine(image, rng.uniform(-40, 40), log_factor=rng.uniform(-0.3, 0.3))


def turned(image, rng):
    return v2.RandomRotation(30, BILINEAR, fill=None)(image)  # any other fill fades pixels at the border twice


def chosen(image, rng):
    for _ in range(2):
        image = (turned, cropped, lambda image, rng: image)[rng.integers(3)](image, rng)
    return image


REFERENCES = {
    eq.NoAugmentation(): lambda image, rng: image,
    eq.HorizontalFlip(0.3): lambda image, rng: v2.RandomHorizontalFlip(0.3)(image),
    eq.InscribedDisk(): masked,
    eq.RandomCrop(2): cropped,
    eq.RandomTranslation(1.5): lambda image, rng: affine(image, shift=rng.uniform(-1.5, 1.5, 2)),
    eq.RandomRotation(30.0): turned,
    eq.NormalRotation(45.0, 20.0): lambda image, rng: affine(image, rng.normal(45, 20)),
    eq.RandomAction(eq.DihedralGroup(4)): acted,
    eq.RandomAffine(30.0, 1.5, 1.3, 0.2): moved,
    eq.RandomScaling(1.5): lambda image, rng: affine(image, log_factor=rng.uniform(-1, 1) * math.log(1.5)),
    eq.RandomResizedCrop(): lambda image, rng: v2.RandomResizedCrop(SIZE)(image),
    eq.ColourJitter(0.4, 0.4, 0.4, 0.1): coloured,
    eq.Cutout(5): cut,
    eq.RandAugment(2, 20.0): policy,
    eq.Mixup(0.4, eq.RandomCrop(2)): mixed,
    eq.CutMix(1.0): patched,
    eq.RandomChoice((eq.RandomRotation(30.0), eq.RandomCrop(2), eq.NoAugmentation())): chosen,
    eq.Chain((eq.HorizontalFlip(0.5), eq.RandomCrop(2), eq.RandomRotation(30.0))): lambda image, rng: turned(
        cropped(v2.RandomHorizontalFlip(0.5)(image), rng), rng
    ),
    eq.LearnedAugmentation(BOX): boxed,
    eq.FixedAugmentation(BOX, before=eq.RandomCrop(2)): lambda image, rng: boxed(cropped(image, rng), rng),
}


def augmented(augmentation, images):
    """What a network sees of them in training, in [0, 1]."""
    given = augmentation.augment(images, torch.Generator().manual_seed(1))
    if not isinstance(augmentation, eq.LearnedAugmentation):
        return given
    mean, std = (torch.tensor(each)[:, None, None] for each in (DATASET.mean, DATASET.std))
    elements = augmentation.draw(len(images), torch.Generator().manual_seed(1))
    network = augmentation.wrap(nn.Identity(), DATASET).train()
    return network((given - mean) / std, elements).detach() * std + mean


def pvalue(augmentation, reference):
    """The least of Kolmogorov and Smirnov over random linear forms of the images, exact ties and all."""
    image, other = probes()
    batch = torch.stack([image, other]).repeat_interleave(NUMBER, dim=0)  # half of all partners are of either kind
    ours = augmented(augmentation, batch)[:NUMBER]
    rng = np.random.default_rng(2)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = torch.stack([reference(image, rng).float() for _ in range(NUMBER)])
    forms = torch.randn(FORMS, image.numel(), generator=torch.Generator().manual_seed(4)) / math.sqrt(image.numel())
    pairs = zip(*((images.flatten(1) @ forms.T).round(decimals=4).T for images in (ours, theirs)), strict=True)
    return min(stats.ks_2samp(mine, its).pvalue for mine, its in pairs)


@pytest.mark.parametrize("augmentation", REFERENCES, ids=format_label)
def test_images_are_distributed_as_the_reference_s(augmentation):
    assert pvalue(augmentation, REFERENCES[augmentation]) > 1e-3


@pytest.mark.parametrize(
    ("augmentation", "reference"),
    [
        (eq.HorizontalFlip(0.5), REFERENCES[eq.HorizontalFlip(0.3)]),
        (eq.RandomRotation(20.0), turned),
        (eq.RandomCrop(4), cropped),
        (eq.CutMix(0.1), patched),
        (eq.FixedAugmentation(BOX[:1]), boxed),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_other_distributions_are_told_apart(augmentation, reference):
    assert pvalue(augmentation, reference) < 1e-3


def test_every_augmentation_of_a_study_has_its_reference():
    words = [getattr(eq, name) for name in eq.__all__]
    kinds = {word for word in words if isinstance(word, type) and issubclass(word, Augmentation)} - {Augmentation}
    assert kinds == {type(augmentation) for augmentation in REFERENCES}
