"""Photographs that are never all in memory: the order of an epoch, and decoding in blocks.

An epoch is a fixed permutation with little random access. Images that are stored together (Parquet row groups, or
single files of a folder) are read in random order; `WINDOW_SIZE` images form a window, whose images are shuffled. The
order is thus known before anything is read, so that any number of workers can share it and training can resume
anywhere.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from equistudy.datasets.dataset import Split
from equistudy.datasets.photographs import Photographs

__all__ = ["DecodedBlock", "StreamOrder", "decode_blocks", "draw_stream_order"]

WINDOW_SIZE = 1024  # images that are shuffled together, held in memory compressed
BLOCK_SIZE = 32  # images per decoded block: 5 MB at 224 pixels


class StreamOrder(NamedTuple):
    """Indices into the listing of a split, in epoch order; window k is `places[bounds[k] : bounds[k + 1]]`."""

    places: Int64[np.ndarray, " N"]
    bounds: tuple[int, ...]


class DecodedBlock(NamedTuple):
    """Consecutive images, their classes, and the names of corrupt images that were replaced."""

    images: UInt8[np.ndarray, "B 3 S S"]
    targets: Int64[np.ndarray, " B"]
    corrupt: tuple[str, ...] = ()


def draw_stream_order(dataset: Photographs, split: Split, seed: int) -> StreamOrder:
    """A permutation of the images in use, window by window. It depends only on the layout of the data and the seed."""
    import torch

    rng = torch.Generator().manual_seed(seed)

    def shuffled(count: int) -> Int64[np.ndarray, " n"]:
        return torch.randperm(count, generator=rng).numpy()

    chosen = np.sort(np.array(dataset.choose_images(split), dtype=np.int64))
    ends = np.cumsum(dataset.part_sizes(split))
    part = np.searchsorted(ends, chosen, side="right")
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    lengths = np.diff(starts, append=len(chosen))
    turn = shuffled(len(starts))
    windows, waiting, size = [], [], 0
    for group in turn:
        waiting.append(chosen[starts[group] : starts[group] + lengths[group]])
        size += lengths[group]
        if size >= WINDOW_SIZE:
            windows.append(np.concatenate(waiting))
            waiting, size = [], 0
    if waiting:
        windows.append(np.concatenate(waiting))
    mixed = [window[shuffled(len(window))] for window in windows]
    return StreamOrder(np.concatenate(mixed), (0, *accumulate(len(window) for window in mixed)))


def decode_blocks(
    dataset: Photographs,
    split: Split,
    places: Sequence[int] | Int64[np.ndarray, " n"],
    each: Callable[[Callable[[bytes | str], Any], Iterable[bytes | str]], Iterable[Any]] = map,
) -> Iterator[DecodedBlock]:
    """The images at these indices, in this order, in blocks; `each` maps the decoder over the compressed images.

    An unreadable image is replaced, with its class, by the one before it, or by the next readable one if there is none
    before, so that every batch keeps its size on every worker. Raises ValueError if no image can be read.
    """
    listing, chosen = dataset.list_images(split), [int(place) for place in places]
    images = each(dataset.decode, dataset.read_encoded(split, chosen))
    corrupt: list[str] = []
    block: list[tuple[UInt8[np.ndarray, "3 S S"], int]] = []
    orphans, last = 0, None
    for place, image in zip(chosen, images, strict=True):
        if isinstance(image, str):
            corrupt.append(f"{listing.names[place]} ({image})")
        else:
            last = image, -1 if listing.labels is None else listing.labels[place]
        if last is None:
            orphans += 1
            continue
        block += [last] * (1 + orphans)
        orphans = 0
        if len(block) >= BLOCK_SIZE:
            yield _stack_block(block, corrupt)
            block, corrupt = [], []
    if orphans:
        dataset.report_corrupt(corrupt, len(chosen))
    if block:
        yield _stack_block(block, corrupt)


def _stack_block(block: Sequence[tuple[UInt8[np.ndarray, "3 S S"], int]], corrupt: Sequence[str]) -> DecodedBlock:
    images, targets = zip(*block, strict=True)
    return DecodedBlock(np.stack(images), np.array(targets, dtype=np.int64), tuple(corrupt))
