"""What every augmentation must keep: shapes, devices, seeds, and workers that share a batch."""

import pytest
import torch
from torch import Tensor

from equistudy.augmentations.action import HorizontalFlip, RandomAction
from equistudy.augmentations.affine import RandomAffine, RandomScaling, RandomTranslation
from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.augmentations.chain import Chain
from equistudy.augmentations.choice import RandomChoice
from equistudy.augmentations.colour import ColourJitter
from equistudy.augmentations.crop import Cutout, RandomCrop, RandomResizedCrop
from equistudy.augmentations.learned.augmentation import LearnedAugmentation
from equistudy.augmentations.mixing import CutMix, Mixup
from equistudy.augmentations.rand_augment import Operation, RandAugment
from equistudy.augmentations.rotation import InscribedDisk, NormalRotation, RandomRotation
from equistudy.datasets.dataset import Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.shapes import VOID, Shapes
from equistudy.groups.finite import CyclicGroup, DihedralGroup
from equistudy.spec import format_label, to_canonical_json

AUGMENTATIONS = [
    NoAugmentation(),
    HorizontalFlip(),
    InscribedDisk(),
    RandomCrop(2),
    RandomTranslation(1.5),
    RandomRotation(30.0),
    NormalRotation(45.0, 20.0),
    RandomAction(DihedralGroup(4)),
    RandomAffine(30.0, 1.5, 1.3, 0.2),
    RandomScaling(1.5),
    RandomResizedCrop(),
    ColourJitter(),
    Cutout(3),
    RandAugment(2, 20.0),
    Mixup(0.4, RandomCrop(2)),
    CutMix(),
    RandomChoice((RandomRotation(45.0), NoAugmentation(), RandomResizedCrop(), RandomCrop(1))),
    Chain((HorizontalFlip(), NoAugmentation(), RandomCrop(2), RandomRotation(45.0))),
    LearnedAugmentation(train_copies=2, before=RandomCrop(2)),
]
everyone = pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=format_label)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@everyone
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_dtype_stay(augmentation, dtype):
    images = torch.rand(5, 2, 9, 12).to(dtype)
    augmented = augmentation.augment(images, rng())
    assert augmented.shape == images.shape
    assert augmented.dtype == dtype


@everyone
def test_elements(augmentation):
    elements = augmentation.draw(7, rng())
    assert elements.shape == (7, augmentation.num_parameters)
    assert elements.dtype == torch.float32
    assert torch.equal(elements, augmentation.draw(7, rng()))
    if augmentation.num_parameters:
        assert not torch.equal(elements, augmentation.draw(7, rng(1)))
        assert len(elements.unique(dim=0)) > 1


@everyone
def test_the_images_given_are_not_changed(augmentation):
    images = torch.rand(6, 1, 8, 8)
    before = images.clone()
    augmentation.augment(images, rng())
    assert torch.equal(images, before)


@everyone
@pytest.mark.parametrize("channels", [1, 3])
def test_a_share_of_a_batch_is_bit_identical(augmentation, channels):
    images = torch.rand(23, channels, 13, 11, generator=rng(1))
    elements = augmentation.draw(23, rng())
    whole = augmentation.apply(images, elements)
    for share in (slice(0, 1), slice(1, 8), slice(5, 22), slice(0, 23, 2), slice(1, 23, 3), [22, 3, 3]):
        assert torch.equal(augmentation.apply(images[share], elements[share]), whole[share])


@everyone
def test_global_random_state_is_left_alone(augmentation):
    state = torch.get_rng_state()
    augmentation.augment(torch.rand(4, 1, 8, 8, generator=rng()), rng())
    assert torch.equal(torch.get_rng_state(), state)


@everyone
def test_an_empty_batch_stays_empty(augmentation):
    assert augmentation.augment(torch.rand(0, 1, 8, 8), rng()).shape == (0, 1, 8, 8)


@everyone
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_the_device_of_the_images(augmentation):
    on_device = torch.Generator("cuda").manual_seed(0)
    assert augmentation.augment(torch.rand(4, 1, 8, 8, device="cuda"), on_device).device.type == "cuda"


def test_identities_differ():
    assert len({to_canonical_json(augmentation) for augmentation in AUGMENTATIONS}) == len(AUGMENTATIONS)


SHAPES = Shapes(32, 8, 8)
CHAIN = Chain((HorizontalFlip(), ColourJitter(), RandomCrop(padding=4), Cutout(4), RandomRotation(90.0)))
MOVING = (
    RandomCrop(4),
    RandomTranslation(6.0),
    RandomResizedCrop(0.5),
    HorizontalFlip(),
    RandomRotation(180.0),
    RandomAction(CyclicGroup(4)),
    RandomAffine(20.0, 2.0, 1.2, 0.2),
    RandomScaling(1.5),
)


def painted(labels: Tensor) -> Tensor:
    """One channel for each label, whose transformed copy tells where it went."""
    return torch.stack([(labels == label).float() for label in range(VOID)], dim=1)


@pytest.mark.parametrize("augmentation", MOVING, ids=lambda augmentation: type(augmentation).__name__)
def test_labels_follow_their_pixels(augmentation: Augmentation) -> None:
    """Where the transformed channels are sure of a label it is this one; no label is made up."""
    labels = SHAPES.load(Split.TRAIN).targets
    elements = augmentation.draw(len(labels), torch.Generator().manual_seed(1))
    moved = augmentation.apply_to_targets(labels, elements, SHAPES)
    assert moved.dtype == labels.dtype
    for kind in range(VOID):  # a channel at a time: three are a colour to some
        channel = augmentation.apply(painted(labels)[:, kind : kind + 1], elements)[:, 0]
        assert (moved[channel > 0.99] == kind).all()
        assert not (moved[channel < 0.01] == kind).any()


def test_nothing_follows_what_does_not_move() -> None:
    labels = SHAPES.load(Split.TRAIN).targets
    rng = torch.Generator().manual_seed(1)
    for augmentation in (NoAugmentation(), ColourJitter(), Cutout(4)):
        elements = augmentation.draw(len(labels), rng)
        assert augmentation.apply_to_targets(labels, elements, SHAPES) is labels
    classes = torch.arange(8)
    elements = RandomRotation().draw(8, rng)
    assert RandomRotation().apply_to_targets(classes, elements, Digits()) is classes


def test_labels_follow_a_chain_part_by_part() -> None:
    """Against the parts that move pixels, one after the other."""
    labels = SHAPES.load(Split.TRAIN).targets
    elements = CHAIN.draw(len(labels), torch.Generator().manual_seed(1))
    expected = labels
    for part, own in CHAIN._split_elements(elements):
        if part.moves:
            expected = part.apply_to_targets(expected, own, SHAPES)
    assert torch.equal(CHAIN.apply_to_targets(labels, elements, SHAPES), expected)
    assert not torch.equal(expected, labels)
    learned = LearnedAugmentation(before=CHAIN)
    own = learned.draw(len(labels), torch.Generator().manual_seed(1))
    assert torch.equal(own[:, : CHAIN.num_parameters], elements)
    assert torch.equal(learned.apply_to_targets(labels, own, SHAPES), expected)


def test_what_does_not_say_where_pixels_go_is_refused() -> None:
    unknown = RandomChoice((HorizontalFlip(), RandomCrop()))
    for augmentation in (unknown, Chain((HorizontalFlip(), unknown)), LearnedAugmentation(before=unknown)):
        with pytest.raises(
            ValueError, match=r"Labels for pixels must follow .* got Shapes\(.*, which does not say how pixels move"
        ):
            augmentation.check(SHAPES)
    CHAIN.check(SHAPES)
    LearnedAugmentation(before=CHAIN).check(SHAPES)


@everyone
def test_black_is_the_background_that_is_given_none(augmentation):
    images, elements = torch.rand(5, 3, 9, 12), augmentation.draw(5, rng())
    assert torch.equal(augmentation.apply_on_background(images, elements, 0.0), augmentation.apply(images, elements))


@pytest.mark.parametrize(
    "augmentation",
    [a for a in AUGMENTATIONS if not isinstance(a, (InscribedDisk, ColourJitter, Cutout, RandAugment, CutMix))],
    ids=format_label,
)
def test_a_background_comes_in_without_an_edge(augmentation):
    """An image that is all background stays as it is, wherever it is moved."""
    images, elements = torch.full((5, 2, 9, 12), 0.75), augmentation.draw(5, rng())
    found = augmentation.apply_on_background(images, elements, 0.75)
    torch.testing.assert_close(found, torch.full_like(found, 0.75), atol=1e-5, rtol=0)


@pytest.mark.parametrize("operation", [each for each in Operation if Operation.NOTHING < each <= Operation.ROTATE])
def test_moving_operations_of_rand_augment_show_the_background(operation):
    images, elements = (
        torch.full((2, 3, 9, 12), 0.75),
        torch.tensor([[float(operation), 1.0], [float(operation), -1.0]]),
    )
    found = RandAugment(1, 30.0).apply_on_background(images, elements, 0.75)
    torch.testing.assert_close(found, images, atol=1e-5, rtol=0)
    assert RandAugment(1, 30.0).apply(images, elements).min() < 0.5
