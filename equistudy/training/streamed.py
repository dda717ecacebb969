"""A worker's share of the batches of a set that is streamed, read here by threads or by whoever else is asked."""

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
from equistudy.datasets.streaming import Decoded, decoded, stream_order

__all__ = ["Reader", "Window", "read_here", "streamed_shares"]

AHEAD = 4  # blocks that are decoded while the network trains
NOTHING = Decoded(np.empty((0, 3, 0, 0), np.uint8), np.empty(0, np.int64))


class Window(NamedTuple):
    """Images of a split that are read together, in the order in which they are wanted."""

    dataset: Photographs
    split: Split
    places: Int64[np.ndarray, " n"]


# Decodes the images of the windows, one window after the other, each in its order
Reader = Callable[[Iterable[Window]], Iterator[Decoded]]


def read_here(windows: Iterable[Window]) -> Iterator[Decoded]:
    """Decodes in this process, by as many threads as torch has, a few blocks ahead of whoever takes them."""
    blocks: Queue[Decoded | BaseException | None] = Queue(AHEAD)
    over, threads = threading.Event(), torch.get_num_threads()

    def put(block: Decoded | BaseException | None) -> bool:
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
                    # one thread is this one: handing images to another takes its share of the time
                    if not all(put(block) for block in decoded(*window, each=pool.map if threads > 1 else map)):
                        return
            put(None)
        except BaseException as error:  # raised where the blocks are taken
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


def streamed_shares(
    dataset: Photographs, seed: int, sizes: list[int], first: int, rank: int, workers: int, reader: Reader = read_here
) -> Iterator[tuple[UInt8[Tensor, "B C H W"], Int64[Tensor, " B"]]]:
    """The images and classes of this worker in each batch of an epoch from batch `first` on.

    The batches have the given `sizes`, one after the other in the order of the seed; a worker has every `workers`-th
    image of each, beginning with `rank`. Every image is in one share of one batch. What could not be read is told at
    the end.
    """
    order = stream_order(dataset, Split.TRAIN, seed)
    ends = np.cumsum(sizes)
    batch = np.repeat(np.arange(len(sizes)), sizes)
    inside = np.arange(len(batch)) - (ends - sizes)[batch]
    mine = np.flatnonzero((batch >= first) & (inside % workers == rank))
    cuts = np.searchsorted(mine, order.bounds[1:-1])
    windows = (Window(dataset, Split.TRAIN, order.places[part]) for part in np.split(mine, cuts) if len(part))
    counts = [len(range(rank, size, workers)) for size in sizes[first:]]
    corrupt: list[str] = []
    yield from _cut(reader(windows), counts, corrupt)
    dataset.tell(corrupt, len(mine), "their neighbours stand for them")


def _cut(
    blocks: Iterator[Decoded], counts: list[int], corrupt: list[str]
) -> Iterator[tuple[UInt8[Tensor, "B C H W"], Int64[Tensor, " B"]]]:
    """Blocks of any length as batches of these lengths; notes the names of what is corrupt."""
    block, used = next(blocks, NOTHING), 0
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
    for _ in blocks:  # nothing: ends the reader
        pass
