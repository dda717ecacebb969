"""Batches: their order, augmentation and each worker's share, all determined by derived seeds."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import one_hot

from equistudy.augmentations.mixing import Mixing
from equistudy.datasets.dataset import Examples
from equistudy.study.trial import RandomStream, Trial, derive_seed
from equistudy.training.preparation import prepare_inputs, to_raw_inputs
from equistudy.training.sources import SINGLE_WORKER, Share, Source, Take

__all__ = ["Batch", "compute_batch_sizes", "count_batches", "iterate_evaluation_batches", "iterate_training_batches"]


class Batch(NamedTuple):
    """This process's share of one batch; `total` is the size of the whole batch over all workers.

    `elements` are the augmentation's random elements for these inputs in training. If the augmentation mixes images,
    targets are class probabilities.
    """

    inputs: Float[Tensor, "B ..."]
    targets: Shaped[Tensor, "B ..."]
    total: int
    elements: Float[Tensor, "B P"] | None = None

    def split(self, count: int) -> "list[Batch]":
        """The share in `count` consecutive parts of nearly equal size."""
        columns = (self.inputs, self.targets, *(() if self.elements is None else (self.elements,)))
        split = zip(*(column.tensor_split(count) for column in columns), strict=True)
        return [Batch(inputs, targets, self.total, *elements) for inputs, targets, *elements in split]


def count_batches(num_examples: int, batch_size: int) -> int:
    """The number of batches of an epoch. Their sizes differ by at most one: no sample is dropped, no batch is tiny."""
    return max(1, -(-num_examples // batch_size))


def compute_batch_sizes(num_examples: int, batch_size: int) -> list[int]:
    """The sizes of the batches of an epoch; the larger ones come first."""
    count = count_batches(num_examples, batch_size)
    size, larger = divmod(num_examples, count)
    return [size + (number < larger) for number in range(count)]


def iterate_training_batches(
    source: Source, trial: Trial, epoch: int, share: Share = SINGLE_WORKER, first: int = 0
) -> Iterator[Batch]:
    """The batches of one epoch from batch `first` on.

    The order and the random elements depend only on the replicate's seed and the epoch, so an epoch can be repeated or
    resumed at any batch. Every worker draws the elements of the whole batch and applies those of its share, so the
    augmented images do not depend on the number of workers.
    """
    augmentation, sizes = trial.augmentation, compute_batch_sizes(len(source), trial.recipe.batch_size)
    rng = torch.Generator(source.device).manual_seed(derive_seed(trial.seed, RandomStream.AUGMENTATION, epoch))
    for size in sizes[:first]:
        augmentation.draw(size, rng)
    takes = source.batches(derive_seed(trial.seed, RandomStream.ORDER, epoch), sizes, first, share)
    for size, take in zip(sizes[first:], takes, strict=True):
        elements = augmentation.draw(size, rng)
        mine = torch.arange(share.rank, size, share.workers, device=source.device)
        inputs, targets = _move_inputs(take, mine, elements, trial)
        if isinstance(augmentation, Mixing):
            partners = augmentation.partners(elements[mine])
            its_inputs, its_targets = _move_inputs(take, partners, elements, trial)
            height, width = inputs.shape[-2:]
            weights = augmentation.target_weights(elements[mine], (height, width))[:, None]
            inputs = augmentation.mix(inputs, its_inputs, elements[mine])
            own, its = (one_hot(each, trial.dataset.num_classes).float() for each in (targets, its_targets))
            targets = weights * own + (1 - weights) * its
        yield Batch(prepare_inputs(inputs, trial), targets, size, elements[mine])


def _move_inputs(
    take: Take, places: Shaped[Tensor, " n"], elements: Float[Tensor, "B P"], trial: Trial
) -> tuple[Float[Tensor, "n ..."], Shaped[Tensor, "n ..."]]:
    """The inputs at these indices of the batch, each moved by its own element, and their targets."""
    inputs, targets = take(places)
    moved = trial.augmentation.apply_to_targets(targets, elements[places], trial.dataset)
    raw, background = to_raw_inputs(inputs, trial), trial.dataset.background or 0.0
    return trial.augmentation.apply_on_background(raw, elements[places], background), moved


def iterate_evaluation_batches(
    examples: Examples, trial: Trial, batch_size: int, share: Share = SINGLE_WORKER
) -> Iterator[Batch]:
    """The batches of a split in its own order, without randomness; each sample belongs to exactly one worker."""
    for start in range(0, len(examples.inputs), batch_size):
        whole = slice(start, start + batch_size)
        inputs, targets = examples.inputs[whole], examples.targets[whole]
        mine = slice(share.rank, None, share.workers)
        yield Batch(prepare_inputs(to_raw_inputs(inputs[mine], trial), trial), targets[mine], len(inputs))
