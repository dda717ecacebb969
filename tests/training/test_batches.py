import pytest
import torch

from equistudy.augmentations.augmentation import Augmentation, NoAugmentation
from equistudy.augmentations.crop import RandomCrop
from equistudy.augmentations.rotation import RandomRotation
from equistudy.datasets.dataset import Examples, Split
from equistudy.datasets.digits import Digits
from equistudy.datasets.resident import resident
from equistudy.training.batches import Share, evaluation_batches, normalised, num_batches, training_batches


@pytest.fixture(scope="module")
def examples() -> Examples:
    images, targets = resident(Digits(), Split.TEST, "cpu")
    return Examples(images[:100], targets[:100])


@pytest.mark.parametrize(("examples", "batch", "expected"), [(100, 64, 2), (100, 50, 2), (100, 33, 4), (10, 64, 1)])
def test_num_batches_rounds_up(examples: int, batch: int, expected: int) -> None:
    assert num_batches(examples, batch) == expected


def test_an_epoch_holds_every_sample_once_in_batches_of_nearly_one_size(examples: Examples) -> None:
    batches = list(training_batches(examples, Digits(), NoAugmentation(), 33, seed=1, epoch=0))
    sizes = [batch.total for batch in batches]
    assert sum(sizes) == 100
    assert max(sizes) - min(sizes) <= 1
    seen = torch.cat([batch.inputs for batch in batches]).flatten(1).sum(1).sort().values
    every = normalised(examples.inputs / 255, Digits()).flatten(1).sum(1).sort().values
    torch.testing.assert_close(seen, every)


def test_order_differs_between_epochs_and_seeds_and_is_repeatable(examples: Examples) -> None:
    def targets(seed: int, epoch: int) -> list[int]:
        batches = training_batches(examples, Digits(), NoAugmentation(), 100, seed, epoch)
        return next(iter(batches)).targets.tolist()

    assert targets(1, 0) == targets(1, 0)
    assert targets(1, 0) != targets(1, 1)
    assert targets(1, 0) != targets(2, 0)


@pytest.mark.parametrize("augmentation", [NoAugmentation(), RandomCrop(padding=3), RandomRotation(max_degrees=30.0)])
@pytest.mark.parametrize("workers", [2, 3])
def test_workers_share_each_batch_without_overlap(examples: Examples, augmentation: Augmentation, workers: int) -> None:
    whole = list(training_batches(examples, Digits(), augmentation, 40, seed=0, epoch=2))
    shares = [
        list(training_batches(examples, Digits(), augmentation, 40, 0, 2, Share(rank, workers)))
        for rank in range(workers)
    ]
    for number, batch in enumerate(whole):
        for rank in range(workers):
            assert torch.equal(shares[rank][number].inputs, batch.inputs[rank::workers])
            assert shares[rank][number].total == batch.total == len(batch.inputs)


def test_evaluation_keeps_the_order_and_gives_each_sample_to_one_worker(examples: Examples) -> None:
    alone = torch.cat([batch.targets for batch in evaluation_batches(examples, Digits(), 32)])
    assert torch.equal(alone, examples.targets)
    shared = [b.targets for rank in range(3) for b in evaluation_batches(examples, Digits(), 32, Share(rank, 3))]
    assert torch.equal(torch.cat(shared).sort().values, examples.targets.sort().values)
