"""Sources of training samples: a split on the device, or a streamed one."""

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
    """This process's share of each batch: every `workers`-th sample, starting with `rank`."""

    rank: int = 0
    workers: int = 1


SINGLE_WORKER = Share()

# Returns inputs and targets at these indices of a batch; a stream has only those of this process's share.
Take = Callable[[Int64[Tensor, " n"]], tuple[Shaped[Tensor, "n ..."], Shaped[Tensor, "n ..."]]]


@runtime_checkable
class Source(Protocol):
    """The training split as epochs of batches, whose order is known before anything is read."""

    @property
    def device(self) -> torch.device:
        """The device of the samples."""
        ...

    def __len__(self) -> int: ...

    def batches(self, seed: int, sizes: Sequence[int], first: int, share: Share) -> Iterator[Take]:
        """The batches of these sizes, in the order given by the seed, from batch `first` on."""
        ...


@dataclass(frozen=True)
class ResidentSource:
    """A split in device memory, shuffled as a whole."""

    examples: Examples

    @property
    def device(self) -> torch.device:
        """The device of the split."""
        return self.examples.inputs.device

    def __len__(self) -> int:
        return len(self.examples.inputs)

    def batches(self, seed: int, sizes: Sequence[int], first: int, share: Share) -> Iterator[Take]:
        """A random permutation, divided into batches."""
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
        """This process's share of each batch, moved to the device."""
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
    """The source of a dataset's training split, resident or streamed."""
    if isinstance(dataset, Photographs) and dataset.streamed:
        return StreamedSource(dataset, device, reader)
    return ResidentSource(load_resident(dataset, Split.TRAIN, device))
