"""Where training takes its samples from: a split that lies on the device, or one that is streamed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from equistudy.datasets.dataset import Dataset, Examples, Split
from equistudy.datasets.photographs import Photographs
from equistudy.datasets.resident import load_resident
from equistudy.training.streamed import Reader, decode_locally, stream_shares

__all__ = ["SINGLE_WORKER", "ResidentSource", "Share", "Source", "StreamedSource", "build_source"]


class Share(NamedTuple):
    """Which part of each batch this process trains on: every `workers`-th sample, beginning with `rank`."""

    rank: int = 0
    workers: int = 1


SINGLE_WORKER = Share()

# Inputs and targets at these places of a batch; of a stream, only those of this process's share are there
Take = Callable[[Int64[Tensor, " n"]], tuple[Shaped[Tensor, "n ..."], Shaped[Tensor, "n ..."]]]


@runtime_checkable
class Source(Protocol):
    """The training split, as epochs of batches whose order is known before anything is read."""

    @property
    def device(self) -> torch.device:
        """Where the samples are put."""
        ...

    def __len__(self) -> int: ...

    def batches(self, seed: int, sizes: Sequence[int], first: int, share: Share) -> Iterator[Take]:
        """The batches of these sizes in the order of the seed, from batch `first` on."""
        ...


@dataclass(frozen=True)
class ResidentSource:
    """A split in the memory of the device, shuffled as a whole."""

    examples: Examples

    @property
    def device(self) -> torch.device:
        """Where the split lies."""
        return self.examples.inputs.device

    def __len__(self) -> int:
        return len(self.examples.inputs)

    def batches(self, seed: int, sizes: Sequence[int], first: int, share: Share) -> Iterator[Take]:
        """A random permutation, cut into batches."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).to(self.device)
        for indices in order.split(list(sizes))[first:]:
            yield partial(_take_examples, self.examples, indices)


@dataclass(frozen=True)
class StreamedSource:
    """Photographs that are decoded while the network trains."""

    dataset: Photographs
    device: torch.device
    reader: Reader = decode_locally

    def __len__(self) -> int:
        return len(self.dataset.choose_images(Split.TRAIN))

    def batches(self, seed: int, sizes: Sequence[int], first: int, share: Share) -> Iterator[Take]:
        """This process's share of each batch, sent to the device."""
        shares = stream_shares(self.dataset, seed, list(sizes), first, share.rank, share.workers, self.reader)
        for images, targets in shares:
            examples = Examples(images.to(self.device), targets.to(self.device))
            where = torch.zeros(len(images) * share.workers, dtype=torch.int64, device=self.device)
            where[:: share.workers] = torch.arange(len(images), device=self.device)
            yield partial(_take_examples, examples, where.roll(share.rank))


def _take_examples(
    examples: Examples, where: Int64[Tensor, " B"], places: Int64[Tensor, " n"]
) -> tuple[Shaped[Tensor, "n ..."], Shaped[Tensor, "n ..."]]:
    return examples.inputs[where[places]], examples.targets[where[places]]


def build_source(dataset: Dataset, device: torch.device, reader: Reader = decode_locally) -> Source:
    """The training split as the dataset wants to be read."""
    if isinstance(dataset, Photographs) and dataset.streamed:
        return StreamedSource(dataset, device, reader)
    return ResidentSource(load_resident(dataset, Split.TRAIN, device))
