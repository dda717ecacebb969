"""Batches of a set that lies on the device: order, augmentation and each worker's share, all from derived seeds."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from equistudy.augmentations.augmentation import Augmentation
from equistudy.datasets.dataset import Dataset, Examples
from equistudy.study.trial import Stream, derived_seed

__all__ = ["ALONE", "Batch", "Share", "evaluation_batches", "normalised", "num_batches", "training_batches"]


class Share(NamedTuple):
    """Which part of each batch this process trains on: every `workers`-th sample, beginning with `rank`."""

    rank: int = 0
    workers: int = 1


ALONE = Share()


class Batch(NamedTuple):
    """This process's share of one batch; `total` is the size of the whole batch over all workers.

    `elements` are those that the augmentation drew for these images in training.
    """

    images: Float[Tensor, "B C H W"]
    targets: Int64[Tensor, " B"]
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


def _unit(images: UInt8[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    return images.to(torch.float32).div_(255)


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
    device = examples.images.device
    order_rng = torch.Generator().manual_seed(derived_seed(seed, Stream.ORDER, epoch))
    augmentation_rng = torch.Generator(device).manual_seed(derived_seed(seed, Stream.AUGMENTATION, epoch))
    order = torch.randperm(len(examples.images), generator=order_rng).to(device)
    for indices in torch.tensor_split(order, num_batches(len(order), batch_size)):
        elements = augmentation.draw(len(indices), augmentation_rng)[share.rank :: share.workers]
        mine = indices[share.rank :: share.workers]
        images = augmentation.apply(_unit(examples.images[mine]), elements)
        yield Batch(normalised(images, dataset), examples.targets[mine], len(indices), elements)


def evaluation_batches(examples: Examples, dataset: Dataset, batch_size: int, share: Share = ALONE) -> Iterator[Batch]:
    """The split in its own order, nothing random; each sample falls to exactly one worker."""
    for start in range(0, len(examples.images), batch_size):
        whole = slice(start, start + batch_size)
        images, targets = examples.images[whole], examples.targets[whole]
        mine = slice(share.rank, None, share.workers)
        yield Batch(normalised(_unit(images[mine]), dataset), targets[mine], len(images))
