"""Batches of a set that lies on the device: order, augmentation and each worker's share, all from derived seeds."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from equistudy.augmentations.augmentation import Augmentation
from equistudy.datasets.dataset import Dataset, Examples, Modality
from equistudy.study.trial import Stream, derived_seed

__all__ = ["ALONE", "Batch", "Share", "evaluation_batches", "normalised", "num_batches", "training_batches"]


class Share(NamedTuple):
    """Which part of each batch this process trains on: every `workers`-th sample, beginning with `rank`."""

    rank: int = 0
    workers: int = 1


ALONE = Share()


class Batch(NamedTuple):
    """This process's share of one batch; `total` is the size of the whole batch over all workers.

    `elements` are those that the augmentation drew for these inputs in training.
    """

    inputs: Float[Tensor, "B ..."]
    targets: Shaped[Tensor, "B ..."]
    total: int
    elements: Float[Tensor, "B P"] | None = None


def num_batches(num_examples: int, batch_size: int) -> int:
    """How many batches an epoch has. Their sizes differ by at most one: no sample is dropped, no batch is tiny."""
    return max(1, -(-num_examples // batch_size))


def normalised(images: Float[Tensor, "B C H W"], dataset: Dataset) -> Float[Tensor, "B C H W"]:
    """Images in [0, 1] with the dataset's mean and standard deviation per channel taken out."""
    mean = torch.tensor(dataset.mean, device=images.device, dtype=images.dtype)
    std = torch.tensor(dataset.std, device=images.device, dtype=images.dtype)
    return (images - mean[:, None, None]) / std[:, None, None]


def _unit(inputs: Shaped[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
    """8-bit images in [0, 1]; points as they are."""
    return inputs.to(torch.float32).div_(255) if inputs.dtype == torch.uint8 else inputs


def _prepared(inputs: Float[Tensor, "B ..."], dataset: Dataset) -> Float[Tensor, "B ..."]:
    """What the network sees: images normalised, points as they are."""
    return normalised(inputs, dataset) if dataset.modality is Modality.IMAGES else inputs


def training_batches(
    examples: Examples,
    dataset: Dataset,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    epoch: int,
    share: Share = ALONE,
) -> Iterator[Batch]:
    """The batches of one epoch.

    The order and the random elements depend on the replicate's seed and the epoch alone, so an epoch can be repeated
    after an interruption. Every worker draws the elements of the whole batch and applies those of its share, so any
    number of workers sees the same augmented images.
    """
    device = examples.inputs.device
    order_rng = torch.Generator().manual_seed(derived_seed(seed, Stream.ORDER, epoch))
    augmentation_rng = torch.Generator(device).manual_seed(derived_seed(seed, Stream.AUGMENTATION, epoch))
    order = torch.randperm(len(examples.inputs), generator=order_rng).to(device)
    for indices in torch.tensor_split(order, num_batches(len(order), batch_size)):
        elements = augmentation.draw(len(indices), augmentation_rng)[share.rank :: share.workers]
        mine = indices[share.rank :: share.workers]
        inputs = augmentation.apply(_unit(examples.inputs[mine]), elements)
        yield Batch(_prepared(inputs, dataset), examples.targets[mine], len(indices), elements)


def evaluation_batches(examples: Examples, dataset: Dataset, batch_size: int, share: Share = ALONE) -> Iterator[Batch]:
    """The split in its own order, nothing random; each sample falls to exactly one worker."""
    for start in range(0, len(examples.inputs), batch_size):
        whole = slice(start, start + batch_size)
        inputs, targets = examples.inputs[whole], examples.targets[whole]
        mine = slice(share.rank, None, share.workers)
        yield Batch(_prepared(_unit(inputs[mine]), dataset), targets[mine], len(inputs))
