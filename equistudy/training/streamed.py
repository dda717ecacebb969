"""A worker's share of the batches of a streamed dataset, decoded by local threads or by another reader."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Full, Queue
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from equistudy.datasets.dataset import Split
from equistudy.datasets.photographs import Photographs
from equistudy.datasets.streaming import DecodedBlock, decode_blocks, draw_stream_order

__all__ = ["ReadWindow", "Reader", "decode_locally", "stream_shares"]

BLOCKS_AHEAD = 4  # blocks decoded in advance while the network trains
EMPTY_BLOCK = DecodedBlock(np.empty((0, 3, 0, 0), np.uint8), np.empty(0, np.int64))


class ReadWindow(NamedTuple):
    """Images of a split that are read together, in the order in which they are needed."""

    dataset: Photographs
    split: Split
    places: Int64[np.ndarray, " n"]


# Decodes the images of the windows in order.
Reader = Callable[[Iterable[ReadWindow]], Iterator[DecodedBlock]]


def decode_locally(windows: Iterable[ReadWindow]) -> Iterator[DecodedBlock]:
    """Decodes in this process with as many threads as torch uses, a few blocks ahead of the consumer."""
    blocks: Queue[DecodedBlock | BaseException | None] = Queue(BLOCKS_AHEAD)
    over, threads = threading.Event(), torch.get_num_threads()

    def put(block: DecodedBlock | BaseException | None) -> bool:
        while not over.is_set():
            try:
                blocks.put(block, timeout=0.1)
            except Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            with ThreadPoolExecutor(threads) as pool:
                for window in windows:
                    # A single thread is this one, because passing images to another takes time.
                    if not all(put(block) for block in decode_blocks(*window, each=pool.map if threads > 1 else map)):
                        return
            put(None)
        except BaseException as error:  # re-raised in the consumer
            put(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while (block := blocks.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block
    finally:
        over.set()
        reader.join()


def stream_shares(
    dataset: Photographs,
    seed: int,
    sizes: list[int],
    first: int,
    rank: int,
    workers: int,
    reader: Reader = decode_locally,
) -> Iterator[tuple[UInt8[Tensor, "B C H W"], Int64[Tensor, " B"]]]:
    """The images and classes of this worker in each batch of an epoch from batch `first` on.

    The batches have the given `sizes`, consecutively in the order given by the seed; a worker gets every `workers`-th
    image of each, starting with `rank`. Every image is in one share of one batch. Unreadable images are reported at the
    end.
    """
    order = draw_stream_order(dataset, Split.TRAIN, seed)
    ends = np.cumsum(sizes)
    batch = np.repeat(np.arange(len(sizes)), sizes)
    inside = np.arange(len(batch)) - (ends - sizes)[batch]
    mine = np.flatnonzero((batch >= first) & (inside % workers == rank))
    cuts = np.searchsorted(mine, order.bounds[1:-1])
    windows = (ReadWindow(dataset, Split.TRAIN, order.places[part]) for part in np.split(mine, cuts) if len(part))
    counts = [len(range(rank, size, workers)) for size in sizes[first:]]
    corrupt: list[str] = []
    yield from _cut_batches(reader(windows), counts, corrupt)
    dataset.report_corrupt(corrupt, len(mine), "their neighbours replace them")


def _cut_batches(
    blocks: Iterator[DecodedBlock], counts: list[int], corrupt: list[str]
) -> Iterator[tuple[UInt8[Tensor, "B C H W"], Int64[Tensor, " B"]]]:
    """Regroups blocks of any length to batches of these lengths, and collects the names of corrupt images."""
    block, used = next(blocks, EMPTY_BLOCK), 0
    corrupt += block.corrupt
    for count in counts:
        images = np.empty((count, *block.images.shape[1:]), np.uint8)
        targets = np.empty(count, np.int64)
        filled = 0
        while filled < count:
            if used == len(block.images):
                block, used = next(blocks), 0
                corrupt += block.corrupt
            taken = min(count - filled, len(block.images) - used)
            here, there = slice(filled, filled + taken), slice(used, used + taken)
            images[here], targets[here] = block.images[there], block.targets[there]
            filled, used = filled + taken, used + taken
        yield torch.from_numpy(images), torch.from_numpy(targets)
    for _ in blocks:  # lets the reader finish
        pass
