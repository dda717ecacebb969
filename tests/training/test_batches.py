import pytest
import torch

from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.mixing import CutMix, Mixup
from equistudy.augmentations.rotation import RandomRotation
from equistudy.datasets.dataset import Examples, Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.resident import load_resident
from equistudy.models.resnet import ResNet
from equistudy.recipe import Recipe
from equistudy.study.trial import Trial
from equistudy.tasks.classification import Classification
from equistudy.training.batches import (
    compute_batch_sizes,
    count_batches,
    iterate_evaluation_batches,
    iterate_training_batches,
)
from equistudy.training.preparation import normalise_images
from equistudy.training.sources import ResidentSource, Share


@pytest.fixture(scope="module")
def examples() -> Examples:
    images, targets = load_resident(Digits(), Split.TEST, "cpu")
    return Examples(images[:100], targets[:100])


def trial(augmentation: Augmentation = NoAugmentation(), batch_size: int = 40, seed: int = 0) -> Trial:  # noqa: B008
    recipe = Recipe(batch_size=batch_size)
    return Trial(ResNet(8, 2), Digits(), Classification(), augmentation, recipe, seed)


@pytest.mark.parametrize(("examples", "batch", "expected"), [(100, 64, 2), (100, 50, 2), (100, 33, 4), (10, 64, 1)])
def test_num_batches_rounds_up(examples: int, batch: int, expected: int) -> None:
    assert count_batches(examples, batch) == expected


def test_an_epoch_holds_every_sample_once_in_batches_of_nearly_one_size(examples: Examples) -> None:
    batches = list(iterate_training_batches(ResidentSource(examples), trial(batch_size=33, seed=1), epoch=0))
    sizes = [batch.total for batch in batches]
    assert sum(sizes) == 100
    assert max(sizes) - min(sizes) <= 1
    seen = torch.cat([batch.inputs for batch in batches]).flatten(1).sum(1).sort().values
    every = normalise_images(examples.inputs / 255, ResNet().preprocessing(Digits())).flatten(1).sum(1).sort().values
    torch.testing.assert_close(seen, every)


def test_order_differs_between_epochs_and_seeds_and_is_repeatable(examples: Examples) -> None:
    def targets(seed: int, epoch: int) -> list[int]:
        batches = iterate_training_batches(ResidentSource(examples), trial(batch_size=100, seed=seed), epoch)
        return next(iter(batches)).targets.tolist()

    assert targets(1, 0) == targets(1, 0)
    assert targets(1, 0) != targets(1, 1)
    assert targets(1, 0) != targets(2, 0)


@pytest.mark.parametrize(
    "augmentation", [NoAugmentation(), RandomCrop(padding=3), CutMix(), Mixup(0.4, RandomRotation(max_degrees=30.0))]
)
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_each_batch_without_overlap(examples: Examples, augmentation: Augmentation, workers: int) -> None:
    whole = list(iterate_training_batches(ResidentSource(examples), trial(augmentation), epoch=2))
    shares = [
        list(iterate_training_batches(ResidentSource(examples), trial(augmentation), 2, Share(rank, workers)))
        for rank in range(workers)
    ]
    for number, batch in enumerate(whole):
        for rank in range(workers):
            assert torch.equal(shares[rank][number].inputs, batch.inputs[rank::workers])
            assert torch.equal(shares[rank][number].targets, batch.targets[rank::workers])
            assert shares[rank][number].total == batch.total == len(batch.inputs)


def test_evaluation_keeps_the_order_and_gives_each_sample_to_one_worker(examples: Examples) -> None:
    alone = torch.cat([batch.targets for batch in iterate_evaluation_batches(examples, trial(), 32)])
    assert torch.equal(alone, examples.targets)
    shared = [b.targets for rank in range(3) for b in iterate_evaluation_batches(examples, trial(), 32, Share(rank, 3))]
    assert torch.equal(torch.cat(shared).sort().values, examples.targets.sort().values)


@pytest.mark.parametrize("size", [1, 9, 10, 64, 100])
def test_sizes_are_those_of_an_even_split(size: int) -> None:
    expected = [len(part) for part in torch.arange(100).tensor_split(count_batches(100, size))]
    assert compute_batch_sizes(100, size) == expected


@pytest.mark.parametrize("augmentation", [RandomCrop(padding=3), Mixup()])
def test_an_epoch_can_be_entered_at_any_batch(examples: Examples, augmentation: Augmentation) -> None:
    whole = list(iterate_training_batches(ResidentSource(examples), trial(augmentation, 20), epoch=1))
    for first in (0, 3, 5):
        later = list(iterate_training_batches(ResidentSource(examples), trial(augmentation, 20), 1, first=first))
        for mine, its in zip(later, whole[first:], strict=True):
            assert torch.equal(mine.inputs, its.inputs)
            assert torch.equal(mine.targets, its.targets)


def test_mixed_targets_are_the_shares_of_both_classes(examples: Examples) -> None:
    mixing = CutMix()
    (plain,) = iterate_training_batches(ResidentSource(examples), trial(batch_size=100), epoch=0)
    (batch,) = iterate_training_batches(ResidentSource(examples), trial(mixing, 100), epoch=0)
    assert batch.elements is not None
    weights, partners = mixing.target_weights(batch.elements, (28, 28)), mixing.partners(batch.elements)
    for row, target, partner, weight in zip(
        batch.targets, plain.targets, plain.targets[partners], weights, strict=True
    ):
        expected = torch.zeros(10)
        expected[target] += weight
        expected[partner] += 1 - weight
        torch.testing.assert_close(row, expected)


def test_parts_are_the_batch_one_after_the_other(examples: Examples) -> None:
    (batch,) = iterate_training_batches(ResidentSource(examples), trial(RandomCrop(padding=1), 100), epoch=0)
    parts = batch.split(3)
    assert [len(part.inputs) for part in parts] == [34, 33, 33]
    assert {part.total for part in parts} == {100}
    for name in ("inputs", "targets", "elements"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
